"""Share of the machine that other programs used during a measurement."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Disturbance:
    """CPU time that others use from its creation on; this process and its children do not count."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_s = _busy_s()
        self._own_s = _own_s()

    def share(self) -> float:
        """Processor time of others, and time that a hypervisor took, as a share of the machine's, 0 to 1."""
        elapsed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return min(1.0, max(0.0, others / elapsed))


def _busy_s() -> float:
    with Path("/proc/stat").open() as statistics:
        user, nice, system, _idle, _iowait, irq, soft_irq, steal = map(int, statistics.readline().split()[1:9])
    return (user + nice + system + irq + soft_irq + steal) * _TICK_S


def _own_s() -> float:
    times = os.times()
    finished = times.user + times.system + times.children_user + times.children_system
    return finished + sum(_process_s(child) for child in psutil.Process().children(recursive=True))


def _process_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def wait_for_quiet(share: float, patience_s: float) -> float:
    """Return when others use no more than this share of the machine, or patience ends; how long that took."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < patience_s:
        look = Disturbance()
        time.sleep(0.2)
        if look.share() <= share:
            break
    return waited
