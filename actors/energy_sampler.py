"""Reads the energy counters at the moments that matter.

Owns        the energy source
Receives    ReadEnergy from the control plane
Sends       EnergyRead to the control plane
Fails when  the source breaks its contract: a failed read is a reading that says so, never an exception
"""

from __future__ import annotations

import trio

from actors.base import Actor, Inbox
from actors.messages import ControlEvent, EnergyRead, ReadEnergy
from actors.ports import Energy


class EnergySampler(Actor):
    """Asleep while nothing runs. While something does, reads often enough for no counter to wrap unseen."""

    def __init__(self, above: Inbox[ReadEnergy], control_plane: Inbox[ControlEvent], energy: Energy) -> None:
        self._above = above
        self._control_plane = control_plane
        self._energy = energy
        self._open: set[str] = set()
        """Executions between their start and their end."""
        self._opened = trio.Event()

    def start_tasks(self) -> None:
        self.serve(self._above, self._on_read)
        if self._energy.max_interval_s is not None:
            self.nursery.start_soon(self._tick, self._energy.max_interval_s)

    async def _on_read(self, request: ReadEnergy) -> None:
        reading = self._energy.read()
        if request.moment == "start":
            self._open.add(request.execution_id)
            self._opened.set()
        else:
            self._open.discard(request.execution_id)
        await self._control_plane.put(
            EnergyRead(execution_id=request.execution_id, moment=request.moment, reading=reading)
        )

    async def _tick(self, interval_s: float) -> None:
        while True:
            await self._opened.wait()
            await trio.sleep(interval_s)
            if self._open:
                self._energy.read()
            else:
                self._opened = trio.Event()
