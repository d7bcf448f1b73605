"""Reads the energy counters at the moments that matter, and keeps executions to their limits of watts and joules.

Owns        the energy sources, a window for each execution between its start and its end, and of each source the last
            sample for watts of the moment
Receives    ReadEnergy, ReadLiveEnergy from the control plane
Sends       EnergyRead, LiveEnergyRead, EnergyLimitReached to the control plane; Pause, Resume to the executor
Fails when  a source breaks its contract: a failed read is a reading that says so, never an exception. It is started
            again, and after too many failures answers every request with a reading that says why it is none
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import trio

from actors.base import Inbox, RestartableActor
from actors.messages import (
    ControlEvent,
    EnergyLimitReached,
    EnergyRead,
    EnergyRequest,
    ExecutorRequest,
    LiveEnergyRead,
    Pause,
    ReadEnergy,
    ReadLiveEnergy,
    Resume,
)
from actors.ports import Energy
from engine.backend import ComputeTimes
from engine.energy.limit_watch import Judgement, LimitWatch
from engine.energy.live import LiveSample
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


@dataclass(frozen=True, slots=True)
class _Sampled:
    at_s: float
    sample: LiveSample


def _unknown(reason: str) -> EnergyReading:
    return EnergyReading(time.monotonic_ns(), None, error=reason)


class EnergySampler(RestartableActor):
    """Asleep while nothing that is measured runs. What ran while it failed has a hole, and its energy is not known."""

    def __init__(
        self,
        above: Inbox[EnergyRequest],
        control_plane: Inbox[ControlEvent],
        executor: Inbox[ExecutorRequest],
        energy: Energy,
        compute_times: Callable[[], ComputeTimes[str]],
    ) -> None:
        """``compute_times`` tells at once how the computing divides among executions."""
        self._above = above
        self._control_plane = control_plane
        self._executor = executor
        self._energy = energy
        self._compute_times = compute_times
        self._windows: dict[str, _Window] = {}
        self._sampled_s = 0.0
        self._changed = trio.Event()
        self._asked: ReadEnergy | None = None
        """Not answered yet."""
        self._holes: dict[str, str] = {}
        """Why the reading at the end of an execution would be worth nothing."""
        self._given_up = ""
        self._live: dict[EnergySource, _Sampled] = {}
        self._live_asked: dict[EnergySource, ReadLiveEnergy] = {}
        """Not answered yet."""

    def start_tasks(self) -> None:
        self.nursery.start_soon(self._serve)
        self.nursery.start_soon(self._watch)
        for asked in self._live_asked.values():
            self.nursery.start_soon(self._on_read_live, asked)

    def recover(self, failure: str) -> None:
        reason = f"the energy sampler failed: {failure}"
        self._live.clear()
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
            match request:
                case ReadEnergy():
                    await self._on_read(request)
                case ReadLiveEnergy():
                    self._live_asked[request.source] = request
                    self.nursery.start_soon(self._on_read_live, request)
                case _:
                    assert_never(request)

    async def _on_read(self, request: ReadEnergy) -> None:
        self._asked = request
        hole = self._holes.get(request.execution_id)
        reading = _unknown(hole) if hole else self._read_end(request.source)
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

    async def _on_read_live(self, request: ReadLiveEnergy) -> None:
        """In a task of its own: where no sample is there to compare with it takes one, and waits."""
        source = request.source
        start = self._live.get(source)
        if start is None or trio.current_time() - start.at_s > self._oldest_s(request):
            start = self._sample_live(source)
        end = start
        if start.sample.reading.package_uj is not None:
            await trio.sleep_until(start.at_s + self._energy.live_window_s(source))
            end = self._sample_live(source)
        await self._control_plane.put(LiveEnergyRead(source=source, start=start.sample, end=end.sample))
        if self._live_asked.get(source) is request:  # else it was asked again while this was told
            del self._live_asked[source]

    def _oldest_s(self, request: ReadLiveEnergy) -> float:
        """A counter may wrap twice in what is longer than its interval."""
        wanted_s = max(request.oldest_s, 2 * self._energy.live_window_s(request.source))
        return min(wanted_s, self._interval_s(request.source))

    def _sample_live(self, source: EnergySource) -> _Sampled:
        sample = LiveSample(self._read(source), self._compute_times())
        sampled = _Sampled(trio.current_time(), sample)
        if sample.reading.package_uj is None:
            self._live.pop(source, None)
        else:
            self._live[source] = sampled
        return sampled

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
        """What is read often is the counters alone."""
        return _unknown(self._given_up) if self._given_up else self._energy.read_counters(source)

    def _read_end(self, source: EnergySource) -> EnergyReading:
        """An end of a window, with the CPUs' times."""
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
