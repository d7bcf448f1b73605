"""Which process is which, across the reuse of process ids, restarts of the machine and containers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields 3 and 22 of ``/proc/PID/stat``, counted from behind the name."""
_ENDED = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told apart from later ones with its pid."""

    boot_id: str
    pid_namespace: str
    """Process ids mean something within one only."""
    pid: int
    started_ticks: int
    """Clock ticks from the machine's start to the process's."""


def current_process() -> ProcessIdentity:
    """Raises OSError where there is no ``/proc``."""
    pid = os.getpid()
    _, started_ticks = _stat(pid)
    return ProcessIdentity(_boot_id(), _pid_namespace(), pid, started_ticks)


def is_running(process: ProcessIdentity) -> bool:
    """Whether the process lives.

    One of another namespace cannot be seen from here: it counts as living until the machine starts again.
    """
    if process.boot_id != _boot_id():
        return False
    if process.pid_namespace != _pid_namespace():
        return True
    try:
        state, started_ticks = _stat(process.pid)
    except (FileNotFoundError, ProcessLookupError):
        return _is_hidden(process.pid)
    except PermissionError:
        return True
    return started_ticks == process.started_ticks and state not in _ENDED


def _stat(pid: int) -> tuple[str, int]:
    """State and start. The name, in parentheses, may hold anything, parentheses too."""
    fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    return fields[_STATE].decode(), int(fields[_STARTED])


def _is_hidden(pid: int) -> bool:
    """Whether another user's process has this id, where ``/proc`` shows one's own alone."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _pid_namespace() -> str:
    return str((_PROC / "self/ns/pid").readlink())
