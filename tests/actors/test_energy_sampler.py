"""Energy: read at the start and the end, often enough in between, and never while nothing runs."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.base import Inbox
from actors.energy_sampler import EnergySampler
from actors.messages import ControlEvent, EnergyRead, PowerExceeded, ReadEnergy
from actors.system import running
from engine.backend import ComputeTime
from engine.energy.source import EnergyReading
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain, FakeEnergy, make_meter


@dataclass
class SteadyMeter(FakeEnergy):
    """A machine that draws a steady power, on the test's clock."""

    watts: float = 10.0

    def read(self) -> EnergyReading:
        self.reads += 1
        now = trio.current_time()
        return EnergyReading(time_ns=round(now * 1e9), package_uj=round(now * self.watts * 1e6))


@dataclass
class Stage:
    meter: SteadyMeter
    requests: Inbox[ReadEnergy]
    told: list[ControlEvent]

    async def ask(self, moment: str, max_watts: float | None = None) -> None:
        request = {"execution_id": "a", "moment": moment, "max_watts": max_watts}
        await self.requests.put(ReadEnergy.model_validate(request))
        await wait_all_tasks_blocked()


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    stage = Stage(SteadyMeter(name="rapl", reason="", max_interval_s=60.0), Inbox("requests", 10, "a test's"), [])
    told = Inbox[ControlEvent]("told", 10, "a test's")

    async def listen() -> None:
        async for event in told:
            stage.told.append(event)

    nursery.start_soon(listen)
    await nursery.start(EnergySampler(stage.requests, told, stage.meter).run)
    return stage


async def test_no_reading_while_nothing_runs(stage: Stage, autojump_clock: MockClock) -> None:
    await trio.sleep(80_000)
    assert stage.meter.reads == 0
    await stage.ask("start")
    await stage.ask("end")
    assert [event.moment for event in stage.told if isinstance(event, EnergyRead)] == ["start", "end"]
    await trio.sleep(80_000)
    assert stage.meter.reads == 2


async def test_counters_are_read_every_interval_while_something_runs(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.ask("start")
    await trio.sleep(601)
    assert stage.meter.reads == 1 + 10


async def test_power_over_the_limit_is_told_after_a_second(stage: Stage, autojump_clock: MockClock) -> None:
    stage.meter.watts = 30.0
    await stage.ask("start", max_watts=25.0)
    await trio.sleep(0.9)
    assert not any(isinstance(event, PowerExceeded) for event in stage.told)
    await trio.sleep(0.4)
    assert any(isinstance(event, PowerExceeded) for event in stage.told)


async def test_power_under_the_limit_is_not(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.ask("start", max_watts=10.5)
    await trio.sleep(100)
    await stage.ask("end")
    assert not any(isinstance(event, PowerExceeded) for event in stage.told)


async def test_a_record_carries_the_joules_between_start_and_end() -> None:
    backend = FakeBackend(answer=("a",))
    system = make_system(backend, FakeDomain(energy_source="rapl"), make_meter())
    async with running(system) as system, system.client() as client:
        metrics = (await record_of(client, make_request())).metrics
        assert (metrics.energy.kind, metrics.energy.source, metrics.joules_total) == ("attributed", "rapl", 5.0)
        assert (await client.status()).energy == {"source": "rapl"}


async def test_no_counter_is_read_before_the_prefill_begins() -> None:
    backend, meter = FakeBackend(), make_meter()
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: 1 in backend.live)
        await trio.testing.wait_all_tasks_blocked()
        assert meter.reads == 0
        backend.emit(1)
        await until(lambda: meter.reads == 1)
        backend.emit(1, "x", stop="eos")
        await stream.ended.wait()
        assert meter.reads == 2


async def test_executions_side_by_side_have_the_joules_of_their_part() -> None:
    backend = FakeBackend(compute_times={1: ComputeTime(own_ns=250, busy_ns=1000), 2: ComputeTime(750, 1000)})
    system = make_system(backend, FakeDomain(energy_source="rapl"), make_meter())
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        first, second = Stream(), Stream()
        for number, stream in enumerate((first, second), 1):
            nursery.start_soon(stream.follow, client, make_request())
            await until(lambda number=number: number in backend.live)  # type: ignore[misc]
        backend.emit(1, "x", stop="eos")
        await first.ended.wait()
        backend.emit(2, "y", stop="eos")
        await second.ended.wait()
        for stream, share in ((first, 0.25), (second, 0.75)):
            energy = stream.record.metrics.energy
            assert energy.package_j is not None
            assert energy.attributed_j == share * energy.package_j > 0


async def test_an_execution_over_its_watts_is_stopped_for_that_reason() -> None:
    class Furnace(FakeEnergy):
        def read(self) -> EnergyReading:
            self.reads += 1
            return EnergyReading(time_ns=self.reads * 2 * 10**9, package_uj=self.reads * 1000 * 10**6)

    backend = FakeBackend()
    domain = FakeDomain(energy_source="rapl", max_watts=25.0)
    system = make_system(backend, domain, Furnace(name="rapl", reason=""))
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: 1 in backend.live)
        backend.emit(1)
        await stream.ended.wait()
        assert stream.record.stop_reason == "max_watts"
        assert backend.cancelled == [1]
