"""What kept this machine's CPUs busy, and how much of it was this process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""The fields of a CPU's line in /proc/stat, see proc(5). The guests' times after them are part of user and nice."""
_SHORTEST_NS = 500_000_000
"""The kernel counts in ticks of 10 ms, and this process's time to the nanosecond. Where every CPU's ticks are missed at
one end of the window and counted at the other, that looks like two ticks: 4 % of 500 ms, not yet contention."""
CONTENDED = 0.05
"""Part of the machine's CPU time from which on other processes had a part in an execution's joules and its speed."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Nanoseconds since some moment, over all CPUs that /proc/stat shows: in most containers the machine's, whatever
    the container may use of them. Only differences mean anything."""

    total_ns: int
    """CPU time that passed, busy or not."""
    busy_ns: int
    """CPU time in which something ran, or another virtual machine had the CPU."""
    own_ns: int
    """CPU time of this process, all threads together. Its clients and children count as others."""
    time_ns: int
    """``time.monotonic_ns``."""


def read_cpu_times(stat: Path = _STAT) -> CpuTimes | None:
    """Now; ``None`` where the kernel does not tell."""
    time_ns, own_ns = time.monotonic_ns(), time.process_time_ns()
    try:
        with stat.open(encoding="ascii") as file:
            kind, *ticks = file.readline().split()
        counts = dict(zip(_FIELDS, map(int, ticks), strict=False))
    except (OSError, ValueError):
        return None
    if kind != "cpu" or len(counts) < len(_FIELDS):
        return None
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    busy = sum(counts[name] for name in _BUSY)
    return CpuTimes(sum(counts.values()) * tick_ns, busy * tick_ns, own_ns, time_ns)


def others_share(start: CpuTimes | None, end: CpuTimes | None) -> float | None:
    """What part of the machine's CPU time in between went to anything but this process, from 0 to 1.

    ``None`` where it is not known: too little time passed for the kernel's ticks to tell, or its counts stand still.
    """
    total_ns = _passed_ns(start, end)
    if start is None or end is None or not total_ns:
        return None
    return _part((end.busy_ns - start.busy_ns) - (end.own_ns - start.own_ns), total_ns)


def busy_share(start: CpuTimes | None, end: CpuTimes | None) -> float | None:
    """What part of the machine's CPU time in between went to anything, this process included; else as before."""
    total_ns = _passed_ns(start, end)
    return None if start is None or end is None or not total_ns else _part(end.busy_ns - start.busy_ns, total_ns)


def is_contended(others: float | None) -> bool | None:
    """Whether other processes' part of the CPU time is too large; ``None`` where it is unknown."""
    return None if others is None else others > CONTENDED


def _passed_ns(start: CpuTimes | None, end: CpuTimes | None) -> int | None:
    """CPU time, idle or not."""
    if start is None or end is None or end.time_ns - start.time_ns < _SHORTEST_NS:
        return None
    return max(0, end.total_ns - start.total_ns)


def _part(amount_ns: int, total_ns: int) -> float:
    return min(1.0, max(0.0, amount_ns / total_ns))
