"""How much of the machine others used while something was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Disturbance:
    """From its creation on. What this process and its finished children use does not count."""

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
    return times.user + times.system + times.children_user + times.children_system
