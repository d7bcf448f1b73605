"""How long the event loop goes without looking at its sockets, and what it does meanwhile."""

from __future__ import annotations

import gc
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import trio


@dataclass(slots=True)
class Work:
    """The steps of tasks of one name in a turn."""

    steps: int = 0
    cpu_ns: int = 0


@dataclass(slots=True)
class Turn:
    """All that the loop does between two looks at its sockets."""

    began: tuple[int, int] = (0, 0)
    """Nanoseconds of the clock, and of its thread's CPU time."""
    works: defaultdict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    """Keyed by the name of the task."""
    collected_ns: int = 0
    """Of CPU time in collections of garbage, which are part of the steps that began them."""
    cpu_ms: float = 0.0

    @property
    def cause(self) -> str:
        """What took most of its CPU time: the name of the tasks, how many steps they had, their milliseconds, and those
        of collections of garbage."""
        if not self.works:
            return ""
        name, work = max(self.works.items(), key=lambda each: each[1].cpu_ns)
        collections = f", garbage {self.collected_ns / 1e6:.1f}" if self.collected_ns else ""
        return f"{work.steps} x {name} {work.cpu_ns / 1e6:.1f}{collections}"


class LoopPauses(trio.abc.Instrument):
    """The longest turn of the loop, by the clock and in CPU time of its thread. Wants to be closed."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.longest_turn = Turn()
        """In CPU time."""
        self._turn = Turn()
        self._thread = threading.get_ident()
        self._step_began = 0
        self._collection_began = 0
        gc.callbacks.append(self._on_collection)

    def close(self) -> None:
        """Watch collections of garbage no more."""
        gc.callbacks.remove(self._on_collection)

    def after_io_wait(self, timeout: float) -> None:
        self._turn = Turn((time.monotonic_ns(), time.thread_time_ns()))

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._step_began = time.thread_time_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        work = self._turn.works[task.name]
        work.steps += 1
        work.cpu_ns += time.thread_time_ns() - self._step_began

    def before_io_wait(self, timeout: float) -> None:
        wall, cpu = self._turn.began
        if wall:
            self._turn.cpu_ms = (time.thread_time_ns() - cpu) / 1e6
            self.longest_ms = max(self.longest_ms, (time.monotonic_ns() - wall) / 1e6)
            if self._turn.cpu_ms > self.longest_turn.cpu_ms:
                self.longest_turn = self._turn

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collection_began = time.thread_time_ns()
        else:
            self._turn.collected_ns += time.thread_time_ns() - self._collection_began
