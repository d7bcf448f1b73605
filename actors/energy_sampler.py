"""Reads the energy counters at the moments that matter, and watches the power of executions that limit it.

Owns        the energy source, and a window for each execution between its start and its end
Receives    ReadEnergy from the control plane
Sends       EnergyRead, PowerExceeded to the control plane
Fails when  a source breaks its contract: a failed read is a reading that says so, never an exception. It is started
            again, and after too many failures answers every request with a reading that says why it is none
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import trio

from actors.base import Inbox, RestartableActor
from actors.messages import ControlEvent, EnergyRead, PowerExceeded, ReadEnergy
from actors.ports import Energy
from engine.energy.source import EnergyReading
from engine.energy.window import PowerAverage

_WATCH_S = 0.25
"""Power is an average over a second; four readings in it find an excess a quarter of a second late at most."""


@dataclass(slots=True)
class _Window:
    """An execution that runs."""

    max_watts: float | None
    average: PowerAverage = field(default_factory=PowerAverage)

    def exceeded(self, reading: EnergyReading) -> bool:
        if self.max_watts is None:
            return False
        self.average.add(reading)
        watts = self.average.watts
        return watts is not None and watts > self.max_watts


def _unknown(reason: str) -> EnergyReading:
    return EnergyReading(time.monotonic_ns(), None, error=reason)


class EnergySampler(RestartableActor):
    """Asleep while nothing that is measured runs. What ran while it failed has a hole, and its energy is not known."""

    def __init__(self, above: Inbox[ReadEnergy], control_plane: Inbox[ControlEvent], energy: Energy) -> None:
        self._above = above
        self._control_plane = control_plane
        self._energy = energy
        self._windows: dict[str, _Window] = {}
        self._changed = trio.Event()
        self._asked: ReadEnergy | None = None
        """Not answered yet."""
        self._holes: dict[str, str] = {}
        """Why the reading at the end of an execution would be worth nothing."""
        self._given_up = ""

    def start_tasks(self) -> None:
        self.nursery.start_soon(self._serve)
        if not self._given_up:
            self.nursery.start_soon(self._watch)

    def recover(self, failure: str) -> None:
        reason = f"the energy sampler failed: {failure}"
        self._holes |= dict.fromkeys(self._windows, reason)
        if self._asked is not None:
            self._holes[self._asked.execution_id] = reason

    def give_up(self, failure: str) -> None:
        self.recover(failure)
        self._given_up = f"the energy sampler failed: {failure}"

    async def _serve(self) -> None:
        if self._asked is not None:
            await self._on_read(self._asked)
        async for request in self._above:
            await self._on_read(request)

    async def _on_read(self, request: ReadEnergy) -> None:
        self._asked = request
        hole = self._holes.get(request.execution_id) or self._given_up
        reading = _unknown(hole) if hole else self._energy.read()
        if request.moment == "start":
            window = _Window(request.max_watts)
            window.average.add(reading)
            self._windows[request.execution_id] = window
        else:
            self._windows.pop(request.execution_id, None)  # there is none where its start was asked of a failed run
        self._changed.set()
        await self._control_plane.put(
            EnergyRead(execution_id=request.execution_id, moment=request.moment, reading=reading)
        )
        self._asked = None
        if request.moment == "end":
            self._holes.pop(request.execution_id, None)

    async def _watch(self) -> None:
        while True:
            self._changed = trio.Event()
            # A window that opens may want a shorter pause; with the last one closed, there is nothing to wake for.
            with trio.move_on_after(self._pause_s()) as pause:
                await self._changed.wait()
            if pause.cancelled_caught:
                await self._sample()

    def _pause_s(self) -> float:
        if not self._windows:
            return math.inf
        longest = self._energy.max_interval_s or math.inf
        limited = any(window.max_watts is not None for window in self._windows.values())
        return min(longest, _WATCH_S) if limited else longest

    async def _sample(self) -> None:
        reading = self._energy.read()
        exceeded = [execution_id for execution_id, window in self._windows.items() if window.exceeded(reading)]
        for execution_id in exceeded:
            if execution_id in self._windows:  # it may have ended while another's excess was told
                await self._control_plane.put(PowerExceeded(execution_id=execution_id))
