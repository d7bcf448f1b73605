"""Energy: read at the start and the end, often enough in between, and never while nothing runs."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors.messages import EnergyRead
from actors.system import running
from engine.backend import ComputeTime
from protocol.requests import Status
from tests.actors.energy_stage import EnergyStage, begin_stage
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import make_meter


@pytest.fixture
async def stage(nursery: trio.Nursery) -> EnergyStage:
    return await begin_stage(nursery)


async def test_no_reading_while_nothing_runs(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await trio.sleep(80_000)
    assert stage.meter.reads == 0
    await stage.ask("start")
    await stage.ask("end")
    assert [event.moment for event in stage.told if isinstance(event, EnergyRead)] == ["start", "end"]
    await trio.sleep(80_000)
    assert stage.meter.reads == 2


async def test_counters_are_read_every_interval_while_something_runs(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await stage.ask("start")
    await trio.sleep(601)
    assert stage.meter.reads == 1 + 10


async def test_a_record_carries_the_joules_between_start_and_end() -> None:
    backend = FakeBackend(answer=("a",))
    system = make_system(backend, FakeDomain(energy_source="rapl"), make_meter())
    async with running(system) as system, system.client() as client:
        metrics = (await record_of(client, make_request())).metrics
        assert (metrics.energy.kind, metrics.energy.source, metrics.joules_total) == ("attributed", "rapl", 5.0)
        assert (await client.ask(Status())).energy == {"source": "rapl"}


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
    backend = FakeBackend(compute_times={1: ComputeTime(compute_ns=250, busy_ns=1000), 2: ComputeTime(750, 1000)})
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
