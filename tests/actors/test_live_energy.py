"""Watts of the moment: averages of a second or more, read when somebody asks and never else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.base import Inbox
from actors.energy_sampler import EnergySampler
from actors.faults import Faults
from actors.messages import ControlEvent, EnergyRequest, ExecutorRequest, LiveEnergyRead, ReadLiveEnergy
from actors.supervisor import Supervisor
from actors.system import running
from engine.backend import ComputeTime, ComputeTimes
from engine.energy.sources.source import EnergyReading
from protocol.answers import LiveEnergy
from protocol.client import Client
from protocol.events import EnergyEvent, EventFilter
from protocol.requests import Energy, Metrics, Quantize
from tests.actors.energy_stage import EnergyStage, begin_stage
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy, make_meter
from tests.actors.message_form import CODEC
from tests.actors.test_metrics_report import values
from tests.actors.test_observers import Observer


@pytest.fixture
async def stage(nursery: trio.Nursery) -> EnergyStage:
    return await begin_stage(nursery)


# --- the sampler, in virtual time -------------------------------------------------------------------------------------


async def test_the_first_question_takes_a_second(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await stage.ask_live()
    await trio.sleep(0.999)
    assert not stage.live
    await trio.sleep(0.002)
    assert stage.live == [pytest.approx((1.0, 10.0))]


async def test_nothing_is_read_once_it_is_answered(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await stage.ask_live()
    await trio.sleep(80_000)
    assert stage.meter.reads == 2


async def test_whoever_asks_soon_waits_for_a_second_to_pass(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await stage.ask_live()
    await trio.sleep(1.4)
    stage.meter.pass_time()
    stage.meter.watts = 20.0
    await stage.ask_live()
    assert len(stage.live) == 1
    await trio.sleep(0.601)
    assert stage.live[1:] == [pytest.approx((1.0, 0.4 * 10 + 0.6 * 20))]
    assert stage.meter.reads == 3


async def test_whoever_asks_later_is_answered_at_once_by_the_time_since(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await stage.ask_live()
    await trio.sleep(2.5)
    await stage.ask_live()
    assert stage.live[1:] == [pytest.approx((1.5, 10.0))]


@pytest.mark.parametrize(("oldest_s", "pause_s"), [(2.0, 2.5), (600.0, 61.0)])
async def test_a_sample_too_old_to_compare_with_is_taken_anew(
    oldest_s: float, pause_s: float, stage: EnergyStage, autojump_clock: MockClock
) -> None:
    """Older than the moment, or so old that a counter may have wrapped twice since."""
    await stage.ask_live()
    await trio.sleep(1 + pause_s)
    await stage.ask_live(oldest_s)
    assert len(stage.live) == 1
    await trio.sleep(1.001)
    assert stage.live[1:] == [pytest.approx((1.0, 10.0))]


async def test_a_source_that_moves_rarely_is_averaged_over_longer(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    stage.meter.window_s = 20.0
    await stage.ask_live()
    await trio.sleep(20.001)
    await stage.ask_live()
    await trio.sleep(20.001)
    assert [seconds for seconds, _ in stage.live] == [pytest.approx(20.0)] * 2
    assert stage.meter.reads == 3


async def test_counters_that_fail_are_told_at_once(stage: EnergyStage, autojump_clock: MockClock) -> None:
    stage.meter.fails = True
    await stage.ask_live()
    (read,) = [event for event in stage.told if isinstance(event, LiveEnergyRead)]
    assert read.start.reading.package_uj is None
    stage.meter.fails = False
    await stage.ask_live()
    await trio.sleep(1.001)
    assert stage.live[1:] == [pytest.approx((1.0, 10.0))]


async def test_a_question_outlives_a_failure_of_the_sampler(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    class Fragile(FakeEnergy):
        def read(self, source: str) -> EnergyReading:
            reading = super().read(source)
            if self.reads == 2:
                raise LookupError("no counter there")
            return reading

    above, told = (
        Inbox[EnergyRequest]("requests", 1, "a test's", CODEC),
        Inbox[ControlEvent]("told", 1, "a test's", CODEC),
    )
    energy = Fragile(name="rapl", reason="", interval_s=60.0, joules_a_read=5)
    sampler = EnergySampler(
        above, told, Inbox[ExecutorRequest]("paces", 1, "a test's", CODEC), energy, lambda: ComputeTimes(0, {})
    )
    await nursery.start(Supervisor("energy sampler", sampler, Faults()).run)
    await above.put(ReadLiveEnergy(source="rapl", oldest_s=2.0))
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    (answer,) = told.take_waiting()
    assert isinstance(answer, LiveEnergyRead)
    assert energy.power("rapl", answer.start.reading, answer.end.reading).watts == 5.0


# --- the whole engine -------------------------------------------------------------------------------------------------


@dataclass
class BusyBackend(FakeBackend):
    """A backend whose sequence 1 has a quarter of the computing time, after half of all time before."""

    looks: int = 0

    def times_so_far(self) -> ComputeTimes[int]:
        self.looks += 1
        own_s = 5 + self.looks * 0.25
        one = ComputeTime(round(own_s * 1e9), round((10 + self.looks) * 1e9))
        return ComputeTimes((20 + self.looks) * 10**9, {1: one} if 1 in self.live else {})


async def begin(client: Client, backend: FakeBackend, nursery: trio.Nursery, meter: FakeEnergy) -> Stream:
    """One that computes, and whose first reading is there."""
    stream, reads = Stream(), meter.reads
    nursery.start_soon(stream.follow, client, make_request())
    await until(lambda: 1 in backend.live)
    backend.emit(1, "a", "b", "c")
    await until(lambda: meter.reads > reads and stream.text == "abc")
    return stream


async def test_an_answer_tells_of_the_machine_and_of_whoever_runs() -> None:
    backend, meter = BusyBackend(), make_meter()
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        stream = await begin(client, backend, nursery, meter)
        live = await client.ask(Energy())
        backend.emit(1, stop="eos")
        await stream.ended.wait()
        later = await client.ask(Energy())
    assert (live.power.kind, live.power.source, live.power.watts) == ("measured", "rapl", 5.0)
    assert live.power.zones == {"package-0": 5.0}
    (one,) = live.executions
    assert (one.execution_id, one.model, one.tokens_total) == (stream.execution_id, "tiny", 3)
    assert (one.share, one.watts, one.reason) == (0.25, 1.25, None)
    # Two reads since its own of 5 J each, and 5.5 of the 12 s computed since its first step.
    assert one.energy.package_j == 10.0
    assert one.energy.attributed_j == pytest.approx(10 * 5.5 / 12)
    assert one.tokens_per_watt == pytest.approx(3 / (10 * 5.5 / 12))
    assert later.executions == ()


async def test_all_who_ask_at_the_same_time_get_one_answer(autojump_clock: MockClock) -> None:
    meter = make_meter()
    meter.window_s = 1.0
    system = make_system(FakeBackend(), FakeDomain(), meter)
    answers: list[LiveEnergy] = []
    async with running(system) as system, system.client() as client:

        async def ask() -> None:
            answers.append(await client.ask(Energy()))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert len(answers) == 20
        assert meter.reads == 2


async def test_without_a_meter_everything_is_unknown_and_says_why() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: 1 in backend.live)
        backend.emit(1, "a")
        await until(lambda: stream.text == "a")
        live = await client.ask(Energy())
        backend.emit(1, stop="eos")
    assert (live.power.kind, live.power.source, live.power.watts) == ("unavailable", "none", None)
    assert (live.power.zones, live.power.reason) == ({}, "no meter")
    (one,) = live.executions
    assert (one.tokens_total, one.share, one.watts, one.tokens_per_watt) == (1, None, None, None)
    assert one.energy.attributed_j is None
    assert one.energy.reason


async def test_another_source_than_the_plans_tells_nothing_of_an_execution() -> None:
    backend, meter = BusyBackend(), make_meter()
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        await begin(client, backend, nursery, meter)
        (one,) = (await client.ask(Energy(source="hwmon"))).executions
        assert one.energy.attributed_j is None
        assert "ask for that source" in (one.energy.reason or "")
        backend.emit(1, stop="eos")


async def test_whose_the_joules_are_is_not_known_beside_other_work_of_the_engine() -> None:
    backend, meter = BusyBackend(), make_meter()
    domain = FakeDomain(energy_source="rapl")
    system = make_system(backend, domain, meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        await begin(client, backend, nursery, meter)

        async def quantize() -> None:
            async for _ in client.follow(Quantize(model="tiny", recipe="q8_0", output="/not/there/out.gguf")):
                pass

        nursery.start_soon(quantize)
        await until(lambda: bool(domain.operations_begun))
        (one,) = (await client.ask(Energy())).executions
        domain.operations_begun[0].may_end.set()
        backend.emit(1, stop="eos")
    assert (one.share, one.watts, one.energy.attributed_j) == (None, None, None)
    assert "other work" in (one.reason or "")


async def test_monitoring_gets_the_watts_of_each_zone() -> None:
    system = make_system(FakeBackend(), FakeDomain(), make_meter())
    async with running(system) as system, system.client() as client:
        report = await client.ask(Metrics())
    assert values(report, "engine_power_watts") == {("package-0", "measured", "rapl"): 5.0}
    assert 'engine_power_watts{zone="package-0",kind="measured",source="rapl"} 5' in report.exposition


async def test_monitoring_without_a_meter_gets_no_watts_at_all() -> None:
    async with make_client(FakeBackend()) as client:
        assert "engine_power_watts" not in (await client.ask(Metrics())).exposition


# --- observers --------------------------------------------------------------------------------------------------------


async def test_observers_hear_of_a_running_executions_energy() -> None:
    backend, meter = BusyBackend(), make_meter()
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        observer = Observer()
        nursery.start_soon(observer.follow, client, EventFilter(kinds=("energy", "ended")))
        await until(lambda: observer.begun is not None)
        stream = await begin(client, backend, nursery, meter)
        await until(lambda: bool(observer.events))
        backend.emit(1, stop="eos")
        await until(lambda: observer.kinds()[-1] == "ended")
        first, *_, last = observer.events
        nursery.cancel_scope.cancel()
    assert first.execution_id == stream.execution_id
    assert isinstance(first.body, EnergyEvent)
    assert (first.body.power.watts, first.body.so_far.share, first.body.so_far.watts) == (5.0, 0.25, 1.25)
    assert last.body.kind == "ended"
    assert last.body.metrics.energy.kind == "attributed"


async def test_what_nobody_wants_to_hear_is_not_read() -> None:
    backend, meter = BusyBackend(), make_meter()
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        observer = Observer()
        nursery.start_soon(observer.follow, client, EventFilter(kinds=("tokens",)))
        await begin(client, backend, nursery, meter)
        await wait_all_tasks_blocked(0.05)
        assert meter.reads == 1
        nursery.cancel_scope.cancel()
