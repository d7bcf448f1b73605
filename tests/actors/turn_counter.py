"""How much the tasks of one name do in a turn of the event loop, whatever the machine: their steps are counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class TurnCounter(trio.abc.Instrument):
    """Counts until it is removed."""

    def __init__(self, name: str) -> None:
        self.most = 0
        """The largest number of steps in a turn."""
        self.ended = 0
        """Tasks."""
        self._name = name
        self._steps = 0

    def before_io_wait(self, timeout: float) -> None:
        self._steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name == self._name:
            self._steps += 1
            self.most = max(self.most, self._steps)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.ended += task.name == self._name


@contextmanager
def counting(name: str) -> Iterator[TurnCounter]:
    """Count within the block."""
    counter = TurnCounter(name)
    trio.lowlevel.add_instrument(counter)
    try:
        yield counter
    finally:
        trio.lowlevel.remove_instrument(counter)
