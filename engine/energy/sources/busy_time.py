"""How long this machine's CPUs were busy: what a model makes joules of."""

from __future__ import annotations

import os
from pathlib import Path

from engine.energy.sources.frequency import CPUFREQ, Frequencies

STAT = Path("/proc/stat")
TICK_MS = 1000.0 / os.sysconf("SC_CLK_TCK")
"""The kernel's unit of CPU time."""
_BUSY = (0, 1, 2, 5, 6)
"""Columns of a CPU's line: user, nice, system, irq, softirq. Stolen time was another machine's, as are its joules."""


class BusyTime:
    """Adds up every CPU's busy seconds from one read to the next; at half the highest frequency a second counts half.

    The frequency is the mean over the time between two reads, idle or busy: exact for a CPU that was busy throughout,
    as those are that compute, and too low for one that was busy now and then. Not thread-safe.
    """

    def __init__(self, stat: Path = STAT, cpufreq: Path = CPUFREQ) -> None:
        """Raises OSError, ValueError: the kernel does not tell."""
        self._stat = stat
        self._last = self._ticks()
        frequencies = Frequencies(cpufreq)
        self._frequencies = frequencies if frequencies.covers(len(self._last)) else None
        self._total_s = 0.0

    @property
    def cpus(self) -> int:
        """The number of CPUs watched."""
        return len(self._last)

    @property
    def knows_frequency(self) -> bool:
        """Where not, every busy second counts whole."""
        return self._frequencies is not None

    def read(self) -> float:
        """CPU seconds since this was made. Raises OSError, ValueError."""
        ticks = self._ticks()
        means = {} if self._frequencies is None else self._frequencies.means()
        # A CPU that has come online counts from now on; one that has gone offline adds nothing more.
        passed = {cpu: max(0, count - self._last.get(cpu, count)) for cpu, count in ticks.items()}
        self._total_s += sum(count * means.get(cpu, 1.0) for cpu, count in passed.items()) * TICK_MS / 1e3
        self._last = ticks
        return self._total_s

    def _ticks(self) -> dict[int, int]:
        """Busy ticks of each online CPU."""
        ticks: dict[int, int] = {}
        with self._stat.open(encoding="ascii", errors="replace") as file:
            for line in file:
                name, *counts = line.split()
                if not name.startswith("cpu"):
                    break
                if len(counts) <= max(_BUSY):
                    raise ValueError(f"{self._stat} has a line of {len(counts)} counts")
                if name != "cpu":
                    ticks[int(name.removeprefix("cpu"))] = sum(int(counts[column]) for column in _BUSY)
        if not ticks:
            raise ValueError(f"{self._stat} tells of no CPU")
        return ticks
