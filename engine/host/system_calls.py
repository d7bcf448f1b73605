"""A filter of system calls (seccomp): those that the serving process never needs fail with "not permitted".

What is refused are the groups that change the system, look into other processes, or have been ways into the kernel, as
container runtimes refuse them; calls newer than the table answer "no such call", as an older kernel would. A list of
all that Python, trio and the C library may call would be shorter in theory and break with each of their versions.

Numbers are those of x86-64 (``arch/x86/entry/syscalls/syscall_64.tbl``).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
from typing import Final

REFUSED: Final = {
    # other processes
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    # the system and its clock
    "settimeofday": 164, "adjtimex": 159, "clock_settime": 227, "clock_adjtime": 305, "reboot": 169, "swapon": 167,
    "swapoff": 168, "sethostname": 170, "setdomainname": 171, "acct": 163, "syslog": 103, "vhangup": 153,
    "quotactl": 179, "quotactl_fd": 443, "kexec_load": 246, "kexec_file_load": 320, "iopl": 172, "ioperm": 173,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "create_module": 174, "personality": 135,
    "modify_ldt": 154, "uselib": 134, "lookup_dcookie": 212,
    # file systems and name spaces
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "unshare": 272, "setns": 308,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "mknod": 133, "mknodat": 259,
    # rights
    "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116, "setresuid": 117,
    "setresgid": 119, "setfsuid": 122, "setfsgid": 123, "add_key": 248, "request_key": 249, "keyctl": 250,
    # ways into the kernel
    "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    # to reach others: all sockets listen by now, and nothing is asked for over one
    "connect": 42, "bind": 49, "listen": 50,
}  # fmt: skip
REACHING_OUT: Final = ("connect", "bind", "listen")
_SOCKET, _CLONE, _CLONE3 = 41, 56, 435
_NAME_SPACES: Final = 0x7E020000
"""CLONE_NEW…: of cgroups, host names, messages, users, processes, networks and mounts."""
_HIGHEST: Final = 472
"""The first number that was not yet given away when this table was written."""

_PR_SET_SECCOMP_CALL, _SET_MODE_FILTER, _ALL_THREADS = 317, 1, 1
_ARCHITECTURE_X86_64: Final = 0xC000003E
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in what a filter sees of a call."""
_INSTRUCTION: Final = struct.Struct("=HBBI")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_program(*, network: bool) -> bytes:
    """The filter as classic BPF. ``network``: sockets of all kinds may be made and connected. Pure."""
    not_permitted, no_such_call = _return(_ERRNO | errno.EPERM), _return(_ERRNO | errno.ENOSYS)
    numbers = [number for name, number in REFUSED.items() if not (network and name in REACHING_OUT)]
    program = [
        _INSTRUCTION.pack(_LOAD, 0, 0, _ARCHITECTURE),
        _INSTRUCTION.pack(_EQUAL, 1, 0, _ARCHITECTURE_X86_64),
        _return(_KILL),
        _INSTRUCTION.pack(_LOAD, 0, 0, _NUMBER),
        # The second set of numbers, of 32-bit pointers, is above all others.
        _INSTRUCTION.pack(_AT_LEAST, 0, 1, _HIGHEST),
        no_such_call,
        # Its flags lie in memory, which no filter sees: the C library then uses clone.
        _INSTRUCTION.pack(_EQUAL, 0, 1, _CLONE3),
        no_such_call,
    ]
    for number in sorted(numbers):
        program += [_INSTRUCTION.pack(_EQUAL, 0, 1, number), not_permitted]
    program += [
        _INSTRUCTION.pack(_EQUAL, 0, 3, _CLONE),
        _INSTRUCTION.pack(_LOAD, 0, 0, _FIRST_ARGUMENT),
        _INSTRUCTION.pack(_ANY_BIT, 0, 1, _NAME_SPACES),
        not_permitted,
        _INSTRUCTION.pack(_LOAD, 0, 0, _NUMBER),
    ]
    if not network:
        program += [
            _INSTRUCTION.pack(_EQUAL, 0, 3, _SOCKET),
            _INSTRUCTION.pack(_LOAD, 0, 0, _FIRST_ARGUMENT),
            _INSTRUCTION.pack(_EQUAL, 1, 0, socket.AF_UNIX),
            not_permitted,
        ]
    return b"".join([*program, _return(_ALLOW)])


def refuse(*, network: bool) -> None:
    """Refuse those calls to every thread of this process, and to all that it starts.

    The process must have given up new privileges before (:func:`engine.host.landlock.forbid_new_privileges`).

    Raises:
        OSError: the kernel has no such filters, or the table is of another processor.
    """
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"the table of calls is not of {platform.machine()}")
    code = filter_program(network=network)
    program = _Program(len(code) // _INSTRUCTION.size, code)
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(_PR_SET_SECCOMP_CALL, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))
    if result > 0:
        raise OSError(errno.ESRCH, f"thread {result} has a filter of its own")
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _return(value: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, value)
