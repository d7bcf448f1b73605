"""A simulated machine's power: a powercap tree on disk whose counters follow a process's CPU time.

Watts are ``idle_watts`` and ``core_watts`` for each CPU that the process keeps busy. It stands in for a meter where a
machine has none, so that what depends on the meter can be seen to work; what it shows are no watts of this machine.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

RANGE_UJ = 262_143_328_850
_START_UJ = 1_000_000_000
_PACKAGES = {"intel-rapl:0": ("package-0", 0.5), "intel-rapl:1": ("package-1", 0.5)}
_MEMORIES = {"intel-rapl:0:0": ("dram", 0.05), "intel-rapl:1:0": ("dram", 0.05)}
"""Zones by folder: name, and what part of the packages' joules it shows."""


def process_clock(process_id: int) -> Callable[[], float]:
    """The CPU seconds of a process, to the nanosecond: Linux numbers these clocks so."""
    clock = (~process_id << 3) | 2
    return lambda: time.clock_gettime(clock)


@dataclass
class PowerPlant:
    """Runs in a thread between ``with`` and its end."""

    root: Path
    idle_watts: float
    core_watts: float
    busy_s: Callable[[], float] = time.process_time
    trace: list[tuple[int, float]] = field(default_factory=list)
    """``time.monotonic_ns`` and joules of all packages since the start, at every move of the counters."""
    period_s: float = 0.005
    """Between two moves. Each takes a few hundred microseconds of a CPU where the tree is on a disk."""

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._zones = {**_PACKAGES, **_MEMORIES}
        for folder, (name, _) in self._zones.items():
            (self.root / folder).mkdir(parents=True)
            (self.root / folder / "name").write_text(name + "\n")
            (self.root / folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        self._show(0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, process_id: int) -> None:
        """Count this process's CPU time from now on."""
        self.busy_s = process_clock(process_id)

    def _run(self) -> None:
        busy, joules, last_s, last_busy_s = self.busy_s, 0.0, time.monotonic(), self.busy_s()
        while not self._ended.wait(self.period_s):
            if busy is not self.busy_s:
                busy, last_busy_s = self.busy_s, self.busy_s()
            now_s = time.monotonic()
            try:
                now_busy_s = busy()
            except OSError:  # it has ended
                now_busy_s = last_busy_s
            joules += self.idle_watts * (now_s - last_s) + self.core_watts * (now_busy_s - last_busy_s)
            last_s, last_busy_s = now_s, now_busy_s
            self._show(joules)
            self.trace.append((time.monotonic_ns(), joules))

    def _show(self, joules: float) -> None:
        for folder, (_, part) in self._zones.items():
            path = self.root / folder / "energy_uj"
            made = path.with_suffix(".made")
            made.write_text(f"{(_START_UJ + round(joules * part * 1e6)) % RANGE_UJ}\n")
            os.replace(made, path)  # noqa: PTH105  a reader finds one count or the next, never half of one


def average_watts(trace: Sequence[tuple[int, float]]) -> float:
    """Average watts from the first to the last count."""
    (start_ns, start_j), (end_ns, end_j) = trace[0], trace[-1]
    return (end_j - start_j) * 1e9 / (end_ns - start_ns)


def highest_average(trace: Sequence[tuple[int, float]], window_ns: int) -> float:
    """The most watts that any window of this length averages, as it moves from figure to figure.

    Raises:
        ValueError: the trace is shorter than a window.
    """
    averages, first = [], 0
    for end_ns, end_j in trace:
        while first + 1 < len(trace) and end_ns - trace[first + 1][0] >= window_ns:
            first += 1
        start_ns, start_j = trace[first]
        if end_ns - start_ns >= window_ns:
            averages.append((end_j - start_j) * 1e9 / (end_ns - start_ns))
    return max(averages)
