"""Slow energy sources keep no other execution waiting, and their readings come in the order of asking."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.base import Inbox
from actors.energy_sampler import EnergySampler
from actors.faults import ENERGY_SAMPLER, Faults
from actors.messages import (
    ControlEvent,
    EnergyLimitReached,
    EnergyRead,
    EnergyRequest,
    ExecutorRequest,
    LiveEnergyRead,
    Moment,
    ReadEnergy,
    ReadLiveEnergy,
)
from actors.supervisor import Supervisor
from engine.backend import ComputeTimes
from engine.energy.sources.source import EnergyReading
from protocol.plan import EnergySourceName, Limits
from tests.actors.engine_factory import until
from tests.actors.fake_energy import FakeEnergy
from tests.actors.message_form import CODEC


@dataclass
class TwoSources(FakeEnergy):
    """``rapl`` answers at once; ``meter`` when a test lets it, read by read."""

    allowed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    interval_s: float | None = None
    at_work: int = 0
    most_at_work: int = 0
    threads: set[int] = field(default_factory=set)
    breaks: bool = False
    slow_reads: int = 0

    def is_slow(self, source: str) -> bool:
        return source == "meter"

    def read(self, source: str) -> EnergyReading:
        if source == "rapl":
            self.reads += 1
            return EnergyReading(self.reads * 10**9, self.reads * 10**8)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        self.threads.add(threading.get_ident())
        self.allowed.acquire()
        self.at_work -= 1
        if self.breaks:
            self.breaks = False
            raise RuntimeError("the meter broke")
        self.slow_reads += 1
        return EnergyReading(self.slow_reads * 10**9, self.slow_reads * 10**8)

    def let(self, reads: int) -> None:
        self.allowed.release(reads)


@dataclass
class Stage:
    energy: TwoSources
    requests: Inbox[EnergyRequest]
    told: list[ControlEvent] = field(default_factory=list)

    async def ask(self, execution_id: str, moment: Moment, source: EnergySourceName, **limits: object) -> None:
        asked = Limits(**limits)  # type: ignore[arg-type]
        await self.requests.put(ReadEnergy(execution_id=execution_id, moment=moment, source=source, limits=asked))

    @property
    def answers(self) -> list[tuple[str, str]]:
        return [(event.execution_id, event.moment) for event in self.told if isinstance(event, EnergyRead)]

    async def answered(self, number: int) -> list[tuple[str, str]]:
        await until(lambda: len(self.answers) >= number)
        return self.answers

    async def listen(self, told: Inbox[ControlEvent]) -> None:
        async for event in told:
            self.told.append(event)


def make_sampler(
    requests: Inbox[EnergyRequest], told: Inbox[ControlEvent], paces: Inbox[ExecutorRequest], energy: FakeEnergy
) -> EnergySampler:
    return EnergySampler(requests, told, paces, energy, lambda: ComputeTimes(0, {}))


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    energy = TwoSources(name="rapl", reason="")
    stage = Stage(energy, Inbox("requests", 20, "a test's", CODEC))
    told = Inbox[ControlEvent]("told", 10, "a test's", CODEC)
    paces = Inbox[ExecutorRequest]("paces", 10, "a test's", CODEC)
    nursery.start_soon(stage.listen, told)
    sampler = make_sampler(stage.requests, told, paces, energy)
    await nursery.start(Supervisor(ENERGY_SAMPLER, sampler, Faults()).run)
    return stage


async def test_others_do_not_wait_for_a_slow_source(stage: Stage) -> None:
    await stage.ask("slow", "start", "meter")
    await until(lambda: stage.energy.at_work == 1)
    await stage.ask("quick", "start", "rapl")
    await stage.ask("quick", "end", "rapl")
    assert await stage.answered(2) == [("quick", "start"), ("quick", "end")]
    stage.energy.let(1)
    assert await stage.answered(3) == [("quick", "start"), ("quick", "end"), ("slow", "start")]


async def test_a_slow_source_is_read_elsewhere_in_the_order_of_asking_and_never_twice_at_once(stage: Stage) -> None:
    moments: tuple[Moment, ...] = ("start", "end")
    asked = [(execution, moment) for moment in moments for execution in ("a", "b", "c")]
    for execution, moment in asked:
        await stage.ask(execution, moment, "meter")
    stage.energy.let(len(asked))
    assert await stage.answered(len(asked)) == asked
    readings = [event.reading.package_uj for event in stage.told if isinstance(event, EnergyRead)]
    assert readings == sorted(readings, key=lambda uj: uj or 0)
    assert stage.energy.most_at_work == 1
    assert threading.get_ident() not in stage.energy.threads


async def test_limits_by_another_source_are_kept_while_a_slow_one_is_read(stage: Stage) -> None:
    stage.energy.let(1)
    await stage.ask("slow", "start", "meter", max_joules=1e9, energy_sample_ms=20)
    await stage.answered(1)
    await until(lambda: stage.energy.at_work == 1)  # its first sample, which hangs
    await stage.ask("quick", "start", "rapl", max_joules=150.0, energy_sample_ms=20)
    await until(lambda: any(isinstance(event, EnergyLimitReached) for event in stage.told))
    (reached,) = [event for event in stage.told if isinstance(event, EnergyLimitReached)]
    assert (reached.execution_id, stage.energy.at_work, stage.energy.most_at_work) == ("quick", 1, 1)
    stage.energy.let(100)


async def test_a_sample_and_a_start_are_not_read_at_once(stage: Stage) -> None:
    stage.energy.let(1)
    await stage.ask("first", "start", "meter", max_joules=1e9, energy_sample_ms=20)
    await stage.answered(1)
    await until(lambda: stage.energy.at_work == 1)  # a sample
    await stage.ask("second", "start", "meter")
    await stage.ask("quick", "start", "rapl")
    await stage.answered(2)  # by then the second's has been taken up
    assert (stage.energy.at_work, stage.energy.most_at_work) == (1, 1)
    stage.energy.let(100)
    await stage.answered(3)
    assert stage.energy.most_at_work == 1


async def test_samples_that_were_due_meanwhile_do_not_pile_up_before_an_end(stage: Stage) -> None:
    stage.energy.let(1)
    await stage.ask("a", "start", "meter", max_joules=1e9, energy_sample_ms=20)
    await until(lambda: stage.energy.at_work == 1 and stage.energy.slow_reads == 1)  # a sample
    await trio.sleep(0.2)
    await stage.ask("a", "end", "meter")
    await wait_all_tasks_blocked()
    stage.energy.let(2)
    assert await stage.answered(2) == [("a", "start"), ("a", "end")]


async def test_a_limit_by_a_slow_source_is_kept(stage: Stage) -> None:
    stage.energy.let(100)
    await stage.ask("slow", "start", "meter", max_joules=150.0, energy_sample_ms=20)
    await until(lambda: any(isinstance(event, EnergyLimitReached) for event in stage.told))


async def test_one_that_breaks_leaves_a_hole_and_serves_those_who_waited(stage: Stage) -> None:
    stage.energy.breaks = True
    for execution_id in ("a", "b"):
        await stage.ask(execution_id, "start", "meter")
    stage.energy.let(2)
    assert await stage.answered(2) == [("a", "start"), ("b", "start")]
    first, second = (event.reading for event in stage.told if isinstance(event, EnergyRead))
    assert "the meter broke" in first.error
    assert (second.error, second.package_uj) == ("", 10**8)


async def test_nobody_waits_for_a_slow_source_at_the_end(nursery: trio.Nursery) -> None:
    energy = TwoSources(name="rapl", reason="")
    requests, told = (
        Inbox[EnergyRequest]("requests", 20, "a test's", CODEC),
        Inbox[ControlEvent]("told", 10, "a test's", CODEC),
    )
    stage = Stage(energy, requests)
    async with trio.open_nursery() as running:
        await running.start(make_sampler(requests, told, Inbox("paces", 10, "a test's", CODEC), energy).run)
        await stage.ask("slow", "start", "meter")
        await until(lambda: energy.at_work == 1)
        running.cancel_scope.cancel()
    energy.let(1)


async def test_samples_of_a_meter_are_no_closer_than_its_moves(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Quick to read, so that the clock can be virtual."""
    energy = FakeEnergy(name="meter", reason="", joules_a_read=1)
    energy.min_interval_s = lambda source: 5.0  # type: ignore[method-assign]
    requests, told = (
        Inbox[EnergyRequest]("requests", 20, "a test's", CODEC),
        Inbox[ControlEvent]("told", 100, "a test's", CODEC),
    )
    await nursery.start(make_sampler(requests, told, Inbox("paces", 10, "a test's", CODEC), energy).run)
    await Stage(TwoSources(), requests).ask("a", "start", "meter", max_joules=1e9, energy_sample_ms=20)
    await wait_all_tasks_blocked()
    await trio.sleep(50.5)
    assert energy.reads == 1 + 10


async def test_watts_of_the_moment_from_a_slow_source_hold_nobody_up(stage: Stage) -> None:
    await stage.requests.put(ReadLiveEnergy(source="meter", oldest_s=2.0))
    await until(lambda: stage.energy.at_work == 1)
    await stage.ask("quick", "start", "rapl")
    assert await stage.answered(1) == [("quick", "start")]
    stage.energy.let(2)
    await until(lambda: any(isinstance(event, LiveEnergyRead) for event in stage.told))
    assert threading.get_ident() not in stage.energy.threads
