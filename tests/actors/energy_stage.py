"""The energy sampler with nothing around it but its inboxes and a machine to measure, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from actors.base import Inbox
from actors.energy_sampler import EnergySampler
from actors.messages import (
    ControlEvent,
    EnergyLimitReached,
    EnergyRequest,
    ExecutorRequest,
    LiveEnergyRead,
    Moment,
    Pause,
    ReadEnergy,
    ReadLiveEnergy,
    Resume,
)
from engine.backend import ComputeTimes
from engine.energy.sources.source import EnergyReading
from protocol.plan import Limits
from tests.actors.fake_energy import FakeEnergy
from tests.actors.message_form import CODEC


@dataclass
class Meter(FakeEnergy):
    """A machine that draws ``watts``, and ``busy_watts`` more while anything computes, on the test's clock."""

    watts: float = 10.0
    window_s: float = 1.0
    busy_watts: float = 0.0
    computing: set[str] = field(default_factory=set)
    fails: bool = False
    _joules: float = 0.0
    _since_s: float = 0.0
    _epoch: int = 0

    def pass_time(self) -> None:
        """Move the counters to now. Call it before anything begins or stops computing."""
        now_s = trio.current_time()
        self._joules += (self.watts + (self.busy_watts if self.computing else 0.0)) * (now_s - self._since_s)
        self._since_s = now_s

    def read(self, source: str) -> EnergyReading:
        self.reads += 1
        self.pass_time()
        self._epoch += self.fails
        package_uj = None if self.fails else round(self._joules * 1e6)
        return EnergyReading(time_ns=round(self._since_s * 1e9), package_uj=package_uj, epoch=self._epoch)


@dataclass
class EnergyStage:
    meter: Meter
    requests: Inbox[EnergyRequest] = field(default_factory=lambda: Inbox("requests", 10, "a test's", CODEC))
    told: list[ControlEvent] = field(default_factory=list)
    paces: list[ExecutorRequest] = field(default_factory=list)

    async def ask(self, moment: Moment, execution_id: str = "a", **limits: Any) -> None:
        await self.requests.put(
            ReadEnergy(execution_id=execution_id, moment=moment, source="rapl", limits=Limits(**limits))
        )
        await wait_all_tasks_blocked()

    async def ask_live(self, oldest_s: float = 2.0) -> None:
        await self.requests.put(ReadLiveEnergy(source="rapl", oldest_s=oldest_s))
        await wait_all_tasks_blocked()

    @property
    def live(self) -> list[tuple[float, float]]:
        """The answers: seconds and watts of each."""
        reads = [(event.start.reading, event.end.reading) for event in self.told if isinstance(event, LiveEnergyRead)]
        reports = [self.meter.power("rapl", *readings) for readings in reads]
        return [((report.window_ms or 0) / 1e3, report.watts or 0) for report in reports]

    @property
    def reached(self) -> list[tuple[str, str]]:
        return [(event.execution_id, event.limit) for event in self.told if isinstance(event, EnergyLimitReached)]

    async def listen(self, told: Inbox[ControlEvent]) -> None:
        async for event in told:
            self.told.append(event)

    async def keep_pace(self, requests: Inbox[ExecutorRequest]) -> None:
        """What the executor and the run loop do."""
        async for request in requests:
            self.paces.append(request)
            self.meter.pass_time()
            match request:
                case Pause():
                    self.meter.computing.remove(request.execution_id)
                case Resume():
                    self.meter.computing.add(request.execution_id)


async def begin_stage(nursery: trio.Nursery) -> EnergyStage:
    stage = EnergyStage(Meter(name="rapl", reason="", interval_s=60.0))
    told = Inbox[ControlEvent]("told", 10, "a test's", CODEC)
    paces = Inbox[ExecutorRequest]("paces", 10, "a test's", CODEC)
    nursery.start_soon(stage.listen, told)
    nursery.start_soon(stage.keep_pace, paces)
    sampler = EnergySampler(stage.requests, told, paces, stage.meter, lambda: ComputeTimes(0, {}))
    await nursery.start(sampler.run)
    return stage
