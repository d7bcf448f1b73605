"""Landlock: the kernel's way for a process to give up files, ports and processes, for itself and all that it starts.

Needs no rights and no library; the kernel's interface grew with its versions (``man 7 landlock``, and
``include/uapi/linux/landlock.h``, where the numbers below are from).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Mapping
from enum import IntFlag
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_RULESET: Final = struct.Struct("=QQQ")
"""Handled access to files, handled access to the network, scopes."""
_PATH_RULE: Final = struct.Struct("=Qi")
NETWORK_VERSION: Final = 4
SCOPES_VERSION: Final = 6
_TCP: Final = 0b11
"""To bind and to connect."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals, of processes outside."""

_libc = ctypes.CDLL(None, use_errno=True)


class Access(IntFlag):
    """What may be done to files."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEVICE = 1 << 15

    READ = READ_FILE | READ_DIR
    RUN = READ | EXECUTE
    WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | REFER | TRUNCATE
    ALL = (1 << 16) - 1


_OF_FILES: Final = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEVICE
"""What a rule may grant on anything that is no folder."""
_LATER: Final = ((2, Access.REFER), (3, Access.TRUNCATE), (5, Access.IOCTL_DEVICE))
"""What earlier versions do not know; the first version itself refuses every move from folder to folder."""


def version() -> int:
    """The version that this kernel has; 0: none, or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_GET_VERSION))))


def restrict(allowed: Mapping[Path, Access], *, tcp: bool = False, outside: bool = False) -> None:
    """Leave this thread, and all that it starts from now on, only what is ``allowed`` below each path.

    A path that does not exist is passed over. ``tcp``: TCP ports stay usable. ``outside``: so do abstract Unix sockets
    of others, and signals to them. Both are given up only where the kernel's version has it.

    Raises:
        OSError: this kernel has no Landlock, or refuses.
    """
    known = version()
    if known == 0:
        raise OSError(os.strerror(95), "Landlock")
    handled = _known(known)
    network = 0 if tcp or known < NETWORK_VERSION else _TCP
    scopes = 0 if outside or known < SCOPES_VERSION else _SCOPES
    size = 8 if known < NETWORK_VERSION else 16 if known < SCOPES_VERSION else 24
    attributes = _RULESET.pack(handled, network, scopes)[:size]
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path, access in allowed.items():
            _allow(ruleset, path, access & handled)
        forbid_new_privileges()
        _call(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def forbid_new_privileges() -> None:
    """No program that this process starts gains rights by its owner or its capabilities. Raises OSError."""
    if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


def each(paths: Iterable[Path], access: Access) -> dict[Path, Access]:
    """The same access below each of the paths."""
    return dict.fromkeys(paths, access)


def _known(version_here: int) -> Access:
    handled = Access.ALL
    for since, access in _LATER:
        if version_here < since:
            handled &= ~access
    return handled


def _allow(ruleset: int, path: Path, access: Access) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        granted = access if path.is_dir() else access & _OF_FILES
        if granted:
            rule = _PATH_RULE.pack(granted, descriptor)
            _call(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return result
