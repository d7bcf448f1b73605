"""Reads the energy counters at the moments that matter, and keeps executions to their limits of watts and joules.

Owns        the energy sources, and a window for each execution between its start and its end
Receives    ReadEnergy from the control plane
Sends       EnergyRead, EnergyLimitReached to the control plane; Pause, Resume to the executor
Fails when  a source breaks its contract: a failed read is a reading that says so, never an exception. It is started
            again, and after too many failures answers every request with a reading that says why it is none
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import trio

from actors.base import Inbox, RestartableActor
from actors.messages import ControlEvent, EnergyLimitReached, EnergyRead, ExecutorRequest, Pause, ReadEnergy, Resume
from actors.ports import Energy
from engine.energy.limit_watch import Judgement, LimitWatch
from engine.energy.source import EnergyReading
from protocol.plan import EnergySource


@dataclass(slots=True)
class _Window:
    """An execution that runs."""

    source: EnergySource
    watch: LimitWatch
    resting: bool = False
    stopped: bool = False
    """It was told that a limit is reached; there is nothing left to keep it to."""


def _unknown(reason: str) -> EnergyReading:
    return EnergyReading(time.monotonic_ns(), None, error=reason)


class EnergySampler(RestartableActor):
    """Asleep while nothing that is measured runs. What ran while it failed has a hole, and its energy is not known."""

    def __init__(
        self,
        above: Inbox[ReadEnergy],
        control_plane: Inbox[ControlEvent],
        executor: Inbox[ExecutorRequest],
        energy: Energy,
    ) -> None:
        self._above = above
        self._control_plane = control_plane
        self._executor = executor
        self._energy = energy
        self._windows: dict[str, _Window] = {}
        self._sampled_s = 0.0
        self._changed = trio.Event()
        self._asked: ReadEnergy | None = None
        """Not answered yet."""
        self._holes: dict[str, str] = {}
        """Why the reading at the end of an execution would be worth nothing."""
        self._given_up = ""

    def start_tasks(self) -> None:
        self.nursery.start_soon(self._serve)
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
        hole = self._holes.get(request.execution_id)
        reading = _unknown(hole) if hole else self._read(request.source)
        if request.moment == "start":
            if not self._windows:
                self._sampled_s = trio.current_time()
            self._windows[request.execution_id] = _Window(request.source, LimitWatch(request.limits, reading))
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
            with trio.move_on_at(self._sampled_s + self._pause_s()) as pause:
                await self._changed.wait()
            if pause.cancelled_caught:
                await self._sample()

    def _pause_s(self) -> float:
        """From one sample to the next."""
        if not self._windows:
            return math.inf
        intervals = (self._interval_s(window.source) for window in self._windows.values())
        watches = (window.watch.sample_s for window in self._windows.values() if not window.stopped)
        return min(*intervals, *(sample_s or math.inf for sample_s in watches), math.inf)

    def _interval_s(self, source: EnergySource) -> float:
        return math.inf if self._given_up else self._energy.max_interval_s(source) or math.inf

    def _read(self, source: EnergySource) -> EnergyReading:
        return _unknown(self._given_up) if self._given_up else self._energy.read(source)

    async def _sample(self) -> None:
        self._sampled_s = trio.current_time()
        readings = {source: self._read(source) for source in {window.source for window in self._windows.values()}}
        for execution_id, window in tuple(self._windows.items()):
            # It may have ended while another's judgement was told.
            if execution_id in self._windows and not window.stopped:
                await self._carry_out(execution_id, window, window.watch.judge(readings[window.source]))

    async def _carry_out(self, execution_id: str, window: _Window, judgement: Judgement) -> None:
        """What is noted was told: after a failure in between it is told again, which changes nothing."""
        match judgement:
            case "run":
                if window.resting:
                    await self._executor.put(Resume(execution_id=execution_id))
                    window.resting = False
            case "rest":
                if not window.resting:
                    await self._executor.put(Pause(execution_id=execution_id))
                    window.resting = True
            case limit:
                await self._control_plane.put(EnergyLimitReached(execution_id=execution_id, limit=limit))
                window.stopped = True
