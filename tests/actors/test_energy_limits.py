"""Limits of watts and joules: told in time, or kept to by resting."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from actors.messages import EnergyRead, Pause, Resume
from actors.system import running
from engine.energy.sources.source import EnergyReading
from protocol.plan import RunRequest
from protocol.requests import Cancel
from tests.actors.energy_stage import EnergyStage, begin_stage
from tests.actors.engine_factory import Stream, make_request, make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy


@pytest.fixture
async def stage(nursery: trio.Nursery) -> EnergyStage:
    return await begin_stage(nursery)


@pytest.mark.parametrize("window_ms", [1000, 5000])
async def test_power_over_the_limit_is_told_after_the_window(
    window_ms: int, stage: EnergyStage, autojump_clock: MockClock
) -> None:
    stage.meter.watts = 30.0
    await stage.ask("start", max_watts=25.0, watt_window_ms=window_ms)
    await trio.sleep(window_ms / 1000 - 0.01)
    assert not stage.reached
    await trio.sleep(0.06)
    assert stage.reached == [("a", "max_watts")]


async def test_an_excess_is_told_within_a_sampling_period(stage: EnergyStage, autojump_clock: MockClock) -> None:
    """Ten watts for nine tenths of a second, then more: 26 W on average after 0.4 s of 50 W."""
    await stage.ask("start", max_watts=25.9, energy_sample_ms=20)
    await trio.sleep(10.01)
    stage.meter.pass_time()
    stage.meter.watts = 50.0
    await trio.sleep(0.397)
    assert not stage.reached
    await trio.sleep(0.025)
    assert stage.reached == [("a", "max_watts")]


async def test_power_under_the_limit_is_not_told(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await stage.ask("start", max_watts=10.5)
    await trio.sleep(100)
    await stage.ask("end")
    assert not stage.reached


async def test_joules_over_the_limit_are_told_within_a_sampling_period(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await trio.sleep(100)
    await stage.ask("start", max_joules=42.0)
    await trio.sleep(4.19)
    assert not stage.reached
    await trio.sleep(0.07)
    assert stage.reached == [("a", "max_joules")]


async def test_a_limit_is_told_once_and_those_beside_it_are_left_alone(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await stage.ask("start", "a", max_joules=10.0)
    await stage.ask("start", "b", max_joules=1000.0)
    await stage.ask("start", "c")
    await trio.sleep(30)
    assert stage.reached == [("a", "max_joules")]
    assert not stage.paces
    await stage.ask("end", "b")
    reads = stage.meter.reads
    await trio.sleep(10)
    assert stage.meter.reads == reads


async def test_counters_that_fail_end_who_needs_them(stage: EnergyStage, autojump_clock: MockClock) -> None:
    await stage.ask("start", "a", max_joules=1e6)
    await stage.ask("start", "b", max_watts=1e6, on_max_watts="throttle")
    await stage.ask("start", "c")
    await trio.sleep(3)
    assert not stage.reached
    stage.meter.fails = True
    await trio.sleep(0.06)
    assert stage.reached == [("a", "max_joules"), ("b", "max_watts")]


async def test_counters_are_read_often_only_while_a_limit_needs_it(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await stage.ask("start", "a")
    await stage.ask("start", "b", max_watts=1e6, energy_sample_ms=100)
    await trio.sleep(10.05)
    assert stage.meter.reads == 2 + 100
    await stage.ask("end", "b")
    before = stage.meter.reads
    await trio.sleep(45)
    assert stage.meter.reads == before


async def test_those_who_come_and_go_do_not_put_off_a_reading(stage: EnergyStage, autojump_clock: MockClock) -> None:
    stage.meter.watts = 30.0
    await stage.ask("start", "a", max_watts=25.0)
    for _ in range(60):
        await stage.ask("start", "b")
        await trio.sleep(0.01)
        await stage.ask("end", "b")
        await trio.sleep(0.01)
    assert stage.reached == [("a", "max_watts")]


async def test_a_limit_that_was_never_judged_is_told_with_the_end(
    stage: EnergyStage, autojump_clock: MockClock
) -> None:
    await stage.ask("start", "short", max_watts=25.0, max_joules=1000.0)
    await stage.ask("start", "long", max_watts=25.0, max_joules=1000.0)
    await trio.sleep(0.5)
    await stage.ask("end", "short", max_watts=25.0, max_joules=1000.0)
    await trio.sleep(1)
    await stage.ask("end", "long", max_watts=25.0, max_joules=1000.0)
    ends = {event.execution_id: event.unjudged for event in stage.told if isinstance(event, EnergyRead)}
    assert {name: [each.limit for each in told] for name, told in ends.items()} == {"short": ["max_watts"], "long": []}


# --- throttling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_watts", [15.0, 25.0, 40.0])
async def test_throttling_holds_the_average_within_five_percent(
    max_watts: float, stage: EnergyStage, autojump_clock: MockClock
) -> None:
    stage.meter.busy_watts = 40.0
    stage.meter.computing.add("a")
    await stage.ask("start", max_watts=max_watts, on_max_watts="throttle")
    joules = []
    for _ in range(1000):
        joules.append(stage.meter.read("rapl").package_uj or 0)
        await trio.sleep(0.01)
    watts = [(after - before) / 1e6 for before, after in zip(joules, joules[100:], strict=False)]
    assert max(watts) <= max_watts * 1.05
    assert min(watts[200:]) >= max_watts - 4.0
    assert not stage.reached


async def test_only_the_one_that_is_throttled_rests(stage: EnergyStage, autojump_clock: MockClock) -> None:
    """It is told to rest once, and to go on when its neighbour no longer takes all there is."""
    stage.meter.busy_watts = 40.0
    stage.meter.computing |= {"a", "b"}
    await stage.ask("start", "a", max_watts=25.0, on_max_watts="throttle")
    await stage.ask("start", "b")
    await trio.sleep(5)
    assert [(type(pace), pace.execution_id) for pace in stage.paces] == [(Pause, "a")]
    stage.meter.pass_time()
    stage.meter.computing.remove("b")
    await stage.ask("end", "b")
    await trio.sleep(5)
    assert len(stage.paces) > 10
    assert {pace.execution_id for pace in stage.paces} == {"a"}
    assert not stage.reached


async def test_pauses_and_resumptions_take_turns(stage: EnergyStage, autojump_clock: MockClock) -> None:
    stage.meter.busy_watts = 40.0
    stage.meter.computing.add("a")
    await stage.ask("start", max_watts=25.0, on_max_watts="throttle")
    await trio.sleep(20)
    kinds = [type(pace) for pace in stage.paces]
    assert kinds == ([Pause, Resume] * len(kinds))[: len(kinds)]
    assert Counter(kinds)[Pause] > 20


async def test_joules_end_an_execution_that_is_throttled(stage: EnergyStage, autojump_clock: MockClock) -> None:
    stage.meter.busy_watts = 40.0
    stage.meter.computing.add("a")
    await stage.ask("start", max_watts=20.0, on_max_watts="throttle", max_joules=100.0)
    await trio.sleep(4.5)
    assert not stage.reached
    await trio.sleep(2)
    assert stage.reached == [("a", "max_joules")]


# --- in the whole engine ---------------------------------------------------------------------------------------------


class Furnace(FakeEnergy):
    """Two seconds and 1000 J from one reading to the next."""

    def read(self, source: str) -> EnergyReading:
        self.reads += 1
        return EnergyReading(time_ns=self.reads * 2 * 10**9, package_uj=self.reads * 1000 * 10**6)


@pytest.mark.parametrize(
    ("asked", "limit"),
    [(make_request(max_watts=25.0), "max_watts"), (make_request(max_joules=25.0), "max_joules")],
)
async def test_an_execution_over_its_limit_is_stopped_for_that_reason(asked: RunRequest, limit: str) -> None:
    backend = FakeBackend()
    system = make_system(backend, FakeDomain(energy_source="rapl"), Furnace(name="rapl", reason=""))
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, asked)
        await until(lambda: 1 in backend.live)
        backend.emit(1, "so far")
        await stream.ended.wait()
        assert (stream.record.stop_reason, stream.record.result) == (limit, "so far")
        assert backend.cancelled == [1]


async def test_an_execution_that_is_throttled_rests_and_can_be_cancelled_or_reach_its_deadline() -> None:
    for end in ("cancelled", "deadline"):
        backend = FakeBackend()
        system = make_system(backend, FakeDomain(energy_source="rapl"), Furnace(name="rapl", reason=""))
        deadline_ms = 300 if end == "deadline" else None
        request = make_request(max_watts=25.0, on_max_watts="throttle", deadline_ms=deadline_ms)
        async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
            stream = Stream()
            nursery.start_soon(stream.follow, client, request)
            await until(lambda backend=backend: 1 in backend.live)  # type: ignore[misc]
            backend.emit(1, "so far")
            await until(lambda backend=backend: backend.paused == {1})  # type: ignore[misc]
            if end == "cancelled":
                await client.ask(Cancel(execution_id=stream.execution_id))
            await stream.ended.wait()
            assert (stream.record.stop_reason, stream.record.result) == (end, "so far")


async def test_an_execution_that_is_throttled_goes_on_when_there_is_room() -> None:
    class Oven(FakeEnergy):
        """Hot for three readings, then cold."""

        def read(self, source: str) -> EnergyReading:
            self.reads += 1
            return EnergyReading(time_ns=self.reads * 50 * 10**6, package_uj=min(self.reads, 3) * 3 * 10**6)

    backend = FakeBackend()
    system = make_system(backend, FakeDomain(energy_source="rapl"), Oven(name="rapl", reason=""))
    request = make_request(max_watts=25.0, on_max_watts="throttle")
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, request)
        await until(lambda: 1 in backend.live)
        backend.emit(1)
        await until(lambda: backend.paused == {1})
        await until(lambda: backend.paused == set())
        backend.emit(1, "x", stop="eos")
        await stream.ended.wait()
        assert stream.record.stop_reason == "eos"
