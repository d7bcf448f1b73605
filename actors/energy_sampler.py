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
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import trio
from typing_extensions import assert_never

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
from actors.ports import EnergySources
from engine.backend import ComputeTimes
from engine.energy.limit_watch import Judgement, LimitWatch, unjudged
from engine.energy.live import LiveSample
from engine.energy.sources.source import EnergyReading
from protocol.plan import EnergySourceName
from protocol.record import UnjudgedLimit


@dataclass(slots=True)
class _Window:
    """An execution that runs."""

    source: EnergySourceName
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
    """Asleep while nothing that is measured runs. What ran while it failed has a hole, and its energy is not known.

    Sources that are slow to read are read in a worker thread, one at a time and in the order in which it was asked;
    nothing that another source measures waits for them.
    """

    def __init__(
        self,
        above: Inbox[EnergyRequest],
        control_plane: Inbox[ControlEvent],
        executor: Inbox[ExecutorRequest],
        energy: EnergySources,
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
        self._asked: deque[ReadEnergy] = deque()
        """Not answered yet."""
        self._slowly_asked: deque[ReadEnergy] = deque()
        """Those of them that wait for a slow source."""
        self._slowness = trio.Event()
        self._slowly_sampled_s = -math.inf
        self._samples_slowly = False
        self._one_thread = trio.Lock()
        self._holes: dict[str, str] = {}
        """Why the reading at the end of an execution would be worth nothing."""
        self._given_up = ""
        self._live: dict[EnergySourceName, _Sampled] = {}
        self._live_asked: dict[EnergySourceName, ReadLiveEnergy] = {}
        """Not answered yet."""

    def start_tasks(self) -> None:
        """Serve the inbox, and read counters while there is a limit to judge or a source to keep alive."""
        self._slowly_asked.clear()
        self._samples_slowly = False
        self._one_thread = trio.Lock()
        self.nursery.start_soon(self._serve)
        self.nursery.start_soon(self._serve_slowly)
        self.nursery.start_soon(self._watch)
        for asked in self._live_asked.values():
            self.nursery.start_soon(self._on_read_live, asked)

    def recover(self, failure: str) -> None:
        """Mark readings that the failure made incomplete, with its reason."""
        reason = f"the energy sampler failed: {failure}"
        self._live.clear()
        self._holes |= dict.fromkeys(self._windows, reason)
        begun = (request for request in self._asked if request not in self._slowly_asked)
        self._holes |= {request.execution_id: reason for request in begun}

    def give_up(self, failure: str) -> None:
        """Measure nothing from now on."""
        self.recover(failure)
        self._given_up = f"the energy sampler failed: {failure}"

    async def _serve(self) -> None:
        for unanswered in tuple(self._asked):
            await self._take(unanswered)
        async for request in self._above:
            match request:
                case ReadEnergy():
                    self._asked.append(request)
                    await self._take(request)
                case ReadLiveEnergy():
                    self._live_asked[request.source] = request
                    self.nursery.start_soon(self._on_read_live, request)
                case _:
                    assert_never(request)

    async def _take(self, request: ReadEnergy) -> None:
        if self._is_slow(request.source):
            self._slowly_asked.append(request)
            self._slowness.set()
        else:
            await self._on_read(request)

    async def _serve_slowly(self) -> None:
        while True:
            while self._slowly_asked:
                await self._on_read(self._slowly_asked.popleft())
            self._slowness = trio.Event()
            await self._slowness.wait()

    async def _on_read(self, request: ReadEnergy) -> None:
        hole = self._holes.get(request.execution_id)
        reading = _unknown(hole) if hole else await self._read(request.source, self._energy.read)
        if request.moment == "start":
            if not self._windows:
                self._sampled_s = trio.current_time()
            self._windows[request.execution_id] = _Window(request.source, LimitWatch(request.limits, reading))
        self._changed.set()
        await self._control_plane.put(
            EnergyRead(
                execution_id=request.execution_id,
                moment=request.moment,
                reading=reading,
                unjudged=self._close(request) if request.moment == "end" else (),
            )
        )
        self._asked.remove(request)
        if request.moment == "end":
            self._holes.pop(request.execution_id, None)

    def _close(self, request: ReadEnergy) -> tuple[UnjudgedLimit, ...]:
        """End an execution's window; which limits were never judged in it."""
        window = self._windows.pop(request.execution_id, None)
        if window is None:  # its start was asked of a run that failed
            return unjudged(request.limits, "the energy sampler failed meanwhile")
        return window.watch.unjudged

    async def _on_read_live(self, request: ReadLiveEnergy) -> None:
        """In a task of its own: where no sample is there to compare with it takes one, and waits."""
        source = request.source
        start = self._live.get(source)
        if start is None or trio.current_time() - start.at_s > self._oldest_s(request):
            start = await self._sample_live(source)
        end = start
        if start.sample.reading.package_uj is not None:
            await trio.sleep_until(start.at_s + self._energy.live_window_s(source))
            end = await self._sample_live(source)
        await self._control_plane.put(LiveEnergyRead(source=source, start=start.sample, end=end.sample))
        if self._live_asked.get(source) is request:  # else it was asked again while this was told
            del self._live_asked[source]

    def _oldest_s(self, request: ReadLiveEnergy) -> float:
        """A counter may wrap twice in what is longer than its interval."""
        wanted_s = max(request.oldest_s, 2 * self._energy.live_window_s(request.source))
        return min(wanted_s, self._interval_s(request.source))

    async def _sample_live(self, source: EnergySourceName) -> _Sampled:
        sample = LiveSample(await self._read(source, self._energy.read_counters), self._compute_times())
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
        return min((self._window_pause_s(window) for window in self._windows.values()), default=math.inf)

    def _interval_s(self, source: EnergySourceName) -> float:
        return math.inf if self._given_up else self._energy.max_interval_s(source) or math.inf

    def _window_pause_s(self, window: _Window) -> float:
        interval_s = self._interval_s(window.source)
        if window.stopped or window.watch.sample_s is None:
            return interval_s
        return min(interval_s, max(window.watch.sample_s, self._energy.min_interval_s(window.source)))

    def _is_slow(self, source: EnergySourceName) -> bool:
        return not self._given_up and self._energy.is_slow(source)

    async def _read(self, source: EnergySourceName, read: Callable[[str], EnergyReading]) -> EnergyReading:
        """The ends of a window have the CPUs' times beside them; what is read often is the counters alone."""
        if self._given_up:
            return _unknown(self._given_up)
        if not self._energy.is_slow(source):
            return read(source)
        async with self._one_thread:
            # At the engine's end a source that is still being read is not awaited.
            return await trio.to_thread.run_sync(read, source, abandon_on_cancel=True)

    async def _sample(self) -> None:
        self._sampled_s = trio.current_time()
        sources = {window.source for window in self._windows.values()}
        slow = {source for source in sources if self._is_slow(source)}
        slow_pause_s = min(
            (self._window_pause_s(one) for one in self._windows.values() if one.source in slow), default=0
        )
        if slow and not self._samples_slowly and self._sampled_s >= self._slowly_sampled_s + slow_pause_s:
            self._slowly_sampled_s = self._sampled_s
            self._samples_slowly = True
            self.nursery.start_soon(self._sample_slowly, slow)
        await self._judge({source: await self._read(source, self._energy.read_counters) for source in sources - slow})

    async def _sample_slowly(self, sources: Collection[EnergySourceName]) -> None:
        for source in sources:
            await self._judge({source: await self._read(source, self._energy.read_counters)})
        self._samples_slowly = False

    async def _judge(self, readings: Mapping[EnergySourceName, EnergyReading]) -> None:
        for execution_id, window in tuple(self._windows.items()):
            # It may have ended while another's judgement was told.
            if window.source in readings and execution_id in self._windows and not window.stopped:
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
            case "max_watts" | "max_joules":
                await self._control_plane.put(EnergyLimitReached(execution_id=execution_id, limit=judgement))
                window.stopped = True
            case _:
                assert_never(judgement)
