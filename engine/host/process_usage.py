"""CPU time and private memory of this process."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """At one moment, all threads together."""

    time_ns: int
    """``time.monotonic_ns``."""
    user_ns: int
    """CPU time in user mode since the process began. Exact to the microsecond only together with ``system_ns``: how the
    two divide is the kernel's estimate, by ticks."""
    system_ns: int
    private_bytes: int | None
    """Resident memory that no file backs (RssAnon); ``None`` where the kernel does not tell."""


def read_process_usage() -> ProcessUsage:
    """Some microseconds of work."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ProcessUsage(
        time.monotonic_ns(), round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9), private_memory_bytes()
    )


def private_memory_bytes(statm: Path = _STATM) -> int | None:
    """Resident memory of this process that no file backs; ``None`` where the kernel does not tell."""
    try:
        pages = [int(count) for count in statm.read_bytes().split()[1:3]]
    except (OSError, ValueError):
        return None
    return (pages[0] - pages[1]) * _PAGE_BYTES if len(pages) == 2 else None  # resident, and of that file-backed
