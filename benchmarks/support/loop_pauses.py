"""How long the event loop goes without looking at its sockets."""

from __future__ import annotations

import time

import trio


class LoopPauses(trio.abc.Instrument):
    """The longest turn of the loop: all that it does between two looks, by the clock and in CPU time of its thread."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.longest_cpu_ms = 0.0
        self._began = (0, 0)

    def after_io_wait(self, timeout: float) -> None:
        self._began = (time.monotonic_ns(), time.thread_time_ns())

    def before_io_wait(self, timeout: float) -> None:
        wall, cpu = self._began
        if wall:
            self.longest_ms = max(self.longest_ms, (time.monotonic_ns() - wall) / 1e6)
            self.longest_cpu_ms = max(self.longest_cpu_ms, (time.thread_time_ns() - cpu) / 1e6)
