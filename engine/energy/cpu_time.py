"""What kept this machine's CPUs busy, and how much of it was this process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Of a line of /proc/stat, see proc(5). The guests' times after them are part of user and nice."""
_SHORTEST_NS = 1_000_000_000
"""Of CPU time: the kernel counts in ticks of 10 ms, and a second is a hundred of them."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Nanoseconds since some moment, over all CPUs. Only differences mean anything."""

    total_ns: int
    """That passed, busy or not."""
    busy_ns: int
    """In which something ran, or another machine had the CPU."""
    own_ns: int
    """In which this process ran."""


def read_cpu_times(stat: Path = _STAT) -> CpuTimes | None:
    """Now; ``None`` where the kernel does not tell."""
    own_ns = time.process_time_ns()
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
    return CpuTimes(sum(counts.values()) * tick_ns, busy * tick_ns, own_ns)


def others_share(start: CpuTimes | None, end: CpuTimes | None) -> float | None:
    """What part of the machine's CPU time in between went to anything but this process, from 0 to 1.

    ``None`` where it is not known: too little time passed for the kernel's ticks to tell.
    """
    if start is None or end is None or end.total_ns - start.total_ns < _SHORTEST_NS:
        return None
    others_ns = (end.busy_ns - start.busy_ns) - (end.own_ns - start.own_ns)
    return min(1.0, max(0.0, others_ns / (end.total_ns - start.total_ns)))
