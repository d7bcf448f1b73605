"""What fails takes down only what depends on it: everyone who waited is answered, and the others go on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.system import running
from engine.backend import LoadedModel, SequenceEvents
from engine.energy.sources.source import EnergyReading
from engine.metrics.usage_window import NO_STEP
from engine.operation import Operation
from engine.planned_execution import PlannedExecution
from protocol.answers import Text
from protocol.client import Client
from protocol.errors import BackendUnavailable, EnergyUnavailable, InternalError
from protocol.plan import EnergySourceName, ExecutionPlan
from protocol.record import ExecutionRecord
from protocol.requests import Detokenize, ListModels, Status, Tokenize
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend, FakeModel
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy, make_meter
from tests.actors.fake_records import FakeRecords


class BrokenBackend(FakeBackend):
    """Breaks at the first events that it has to tell."""

    def drain(self) -> list[SequenceEvents]:
        raise RuntimeError("the run loop is gone")


class BrokenLoads(FakeBackend):
    def load(self, planned: PlannedExecution) -> Operation[FakeModel]:  # type: ignore[override]
        operation = super().load(planned)

        def run() -> FakeModel:
            raise ZeroDivisionError("a tensor of no rows")

        operation.run = run  # type: ignore[method-assign]
        return operation


@dataclass
class BrokenMeter(FakeEnergy):
    """Measures, but for the reads it is told to fail at."""

    name: EnergySourceName = "rapl"
    reason: str = ""
    joules_a_read: int = 5
    broken_reads: set[int] = field(default_factory=set)

    def read(self, source: str) -> EnergyReading:
        reading = super().read(source)
        if self.reads in self.broken_reads:
            raise ValueError("no counter there")
        return reading


@pytest.fixture
async def following(nursery: trio.Nursery) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as streams:
        yield streams
        streams.cancel_scope.cancel()


async def started(client: Client, backend: FakeBackend, streams: trio.Nursery, model: str = "tiny") -> Stream:
    stream = Stream()
    already = len(backend.prompts)
    streams.start_soon(stream.follow, client, make_request(model=model))
    await until(lambda: len(backend.prompts) > already)
    return stream


# --- the executor and its backend -------------------------------------------------------------------------------------


async def test_a_failed_backend_ends_what_was_with_it_and_a_fresh_one_takes_the_next(
    following: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, fresh = BrokenBackend(), FakeBackend(answer=("ok",))
    records = FakeRecords()
    system = make_system(broken, records=records, replace_backend=lambda: fresh)
    async with running(system) as system, system.client() as client:
        first = await started(client, broken, following)
        second = await started(client, broken, following)
        broken.may_load.clear()
        loading = Stream()
        following.start_soon(loading.follow, client, make_request(model="tiny-2"))
        await until(lambda: len(broken.loads) == 2)
        broken.emit(1, "lost")
        for stream in (first, second, loading):
            await stream.ended.wait()
            assert isinstance(stream.error, InternalError)
            assert "the run loop is gone" in stream.error.message
        assert broken.closed
        assert broken.cancelled_loads == 1
        assert [record.stop_reason for record in records.finished] == ["error"] * 3
        assert (await record_of(client, make_request())).result == "ok"
        status = await client.ask(Status())
        assert [(one.where, one.consequence) for one in status.faults] == [("executor", "restarted")]
        assert status.failed == {}
        assert status.executions == ()
        assert system.statistics().scheduler.admitted == 0
    told = capsys.readouterr().err
    assert "fault in executor" in told
    assert "RuntimeError: the run loop is gone" in told
    assert "in drain" in told  # its traceback


async def test_figures_that_went_with_a_backend_are_unknown_for_that_reason(following: trio.Nursery) -> None:
    """Not for one that did not happen, such as other work of the engine."""

    class BreaksLater(FakeBackend):
        def drain(self) -> list[SequenceEvents]:
            if self.drains:
                raise RuntimeError("the run loop is gone")
            return super().drain()

    backend, records = BreaksLater(), FakeRecords()
    domain = FakeDomain(energy_source="rapl")
    system = make_system(backend, domain, make_meter(), records=records, replace_backend=FakeBackend)
    async with running(system) as system, system.client() as client:
        stream = await started(client, backend, following)
        backend.emit(1, "a")
        await until(lambda: stream.text == "a")
        backend.emit(1, "b")
        await stream.ended.wait()
    (record,) = records.finished
    assert record.metrics.energy.reason == record.metrics.cpu.reason == NO_STEP
    assert record.metrics.memory_peak_mb is None
    assert "the backend failed" in (record.metrics.memory.reason or "")
    assert record.metrics.finish_ms is not None


async def test_without_another_backend_runs_are_refused_and_all_else_goes_on(
    following: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, records = BrokenBackend(), FakeRecords()
    async with running(make_system(broken, records=records)) as system, system.client() as client:
        stream = await started(client, broken, following)
        broken.emit(1, "lost")
        await stream.ended.wait()
        assert isinstance(stream.error, InternalError)
        with pytest.raises(BackendUnavailable, match="the run loop is gone") as refused:
            await record_of(client, make_request())
        assert refused.value.params["reason"]
        assert len(records.begun) == 1  # it was refused before it was accepted
        assert (await client.ask(Tokenize(model="tiny", text="ab"))).pieces == ("a", "b")
        assert len((await client.ask(ListModels())).models) == 1
        status = await client.ask(Status())
        assert status.failed == {"executor": "RuntimeError: the run loop is gone"}
        assert status.models_loaded == ()
    assert "this system was given one backend" in capsys.readouterr().err


async def test_a_queued_execution_is_refused_too_when_the_backend_is_gone(following: trio.Nursery) -> None:
    broken = BrokenBackend()
    async with running(make_system(broken)) as system, system.client() as client:
        runs, queued = Stream(), Stream()
        following.start_soon(runs.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(broken.live))
        following.start_soon(queued.follow, client, make_request(max_sequences=1))
        await until(lambda: bool(queued.messages))
        broken.emit(1, "lost")
        await queued.ended.wait()
        assert isinstance(queued.error, BackendUnavailable)


async def test_a_backend_that_fails_again_and_again_is_given_up(following: trio.Nursery) -> None:
    backends = [BrokenBackend() for _ in range(4)]
    left = iter(backends[1:])
    async with (
        running(make_system(backends[0], replace_backend=lambda: next(left))) as system,
        system.client() as client,
    ):
        for backend in backends:
            stream = await started(client, backend, following)
            backend.emit(1, "lost")
            await stream.ended.wait()
            assert isinstance(stream.error, InternalError)
        with pytest.raises(BackendUnavailable):
            await record_of(client, make_request())
        consequences = [fault.consequence for fault in (await client.ask(Status())).faults]
        assert consequences == ["restarted"] * 3 + ["failed"]
    assert all(backend.closed for backend in backends)


async def test_a_load_that_fails_in_an_unknown_way_ends_only_what_waits_for_it(following: trio.Nursery) -> None:
    backend = BrokenLoads()
    backend.held["tiny"] = FakeModel("tiny")
    async with running(make_system(backend)) as system, system.client() as client:
        runs = await started(client, backend, following)
        with pytest.raises(InternalError, match="a tensor of no rows"):
            await record_of(client, make_request(model="tiny-2"))
        backend.emit(1, "all well", stop="eos")
        await runs.ended.wait()
        assert runs.record.result == "all well"
        assert [(one.where, one.consequence) for one in (await client.ask(Status())).faults] == [
            ("load of weights", "answered")
        ]


class UnreliableBackend(FakeBackend):
    """May break wherever it is called; where it does not, it answers at once."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(answer=("a", "b"))
        self._chance = chance

    def loaded(self, plan: ExecutionPlan) -> FakeModel | None:
        self._maybe_break()
        return super().loaded(plan)

    def submit(self, *arguments: Any, **named: Any) -> None:
        self._maybe_break()
        super().submit(*arguments, **named)
        self._maybe_break()

    def drain(self) -> list[SequenceEvents]:
        self._maybe_break()
        drained = super().drain()
        self._maybe_break()
        return drained

    def release(self, model: LoadedModel) -> None:
        self._maybe_break()
        super().release(model)

    def cancel(self, sequence_id: int) -> None:
        self._maybe_break()
        super().cancel(sequence_id)

    def _maybe_break(self) -> None:
        if self._chance.random() < 0.02:
            raise RuntimeError("it broke")


@pytest.mark.parametrize("seed", range(20))
async def test_wherever_a_backend_breaks_everyone_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    records = FakeRecords()
    system = make_system(UnreliableBackend(chance), records=records, replace_backend=lambda: UnreliableBackend(chance))
    streams = [Stream() for _ in range(40)]
    async with running(system) as system, system.client() as client:
        with trio.fail_after(30):
            async with trio.open_nursery() as runs:
                for number, stream in enumerate(streams):
                    request = make_request(model=f"tiny-{number % 3}", max_sequences=4)
                    runs.start_soon(stream.follow, client, request)
        await until(lambda: system.statistics().scheduler.admitted == 0)
        assert (await client.ask(Status())).executions == ()
    for stream in streams:
        assert stream.error is None or isinstance(stream.error, InternalError | BackendUnavailable)
        assert stream.error is not None or stream.record.result == "ab"
    # A run that was refused before it was accepted has no record; every other has one.
    assert set(records.begun) == {record.execution_id for record in records.finished}
    assert any(stream.error is None for stream in streams)


# --- the energy sampler and its meter ---------------------------------------------------------------------------------


async def measured(meter: BrokenMeter, backend: FakeBackend, runs: int) -> list[ExecutionRecord]:
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client:
        return [await record_of(client, make_request()) for _ in range(runs)]


@pytest.mark.parametrize("broken", [{1}, {2}], ids=["at the start", "at the end"])
async def test_an_execution_goes_on_without_its_energy_and_the_next_one_has_it(broken: set[int]) -> None:
    first, second = await measured(BrokenMeter(broken_reads=broken), FakeBackend(answer=("ok",)), 2)
    assert (first.result, first.stop_reason) == ("ok", "eos")
    assert first.metrics.joules_total is None
    assert first.metrics.energy.kind == "unavailable"
    assert second.metrics.joules_total is not None


async def test_a_failed_watch_leaves_what_runs_without_its_energy(
    following: trio.Nursery, mock_clock: MockClock
) -> None:
    mock_clock.rate = 1.0
    backend, meter = FakeBackend(), BrokenMeter(interval_s=60.0, broken_reads={2})
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system) as system, system.client() as client:
        stream = await started(client, backend, following)
        backend.emit(1, "a")
        await until(lambda: meter.reads == 1)
        await wait_all_tasks_blocked()
        mock_clock.jump(60)
        await until(lambda: meter.reads == 2)
        await wait_all_tasks_blocked()
        mock_clock.jump(60)
        await until(lambda: meter.reads == 3)  # the watch goes on
        backend.emit(1, "b", stop="eos")
        await stream.ended.wait()
        assert stream.record.result == "ab"
        assert stream.record.metrics.joules_total is None


async def test_a_meter_that_fails_again_and_again_is_given_up_and_executions_go_on() -> None:
    meter = BrokenMeter(broken_reads=set(range(1, 100)))
    backend = FakeBackend(answer=("ok",))
    domain = FakeDomain(energy_source="rapl")
    async with running(make_system(backend, domain, meter)) as system, system.client() as client:
        for _ in range(5):
            record = await record_of(client, make_request())
            assert (record.stop_reason, record.metrics.joules_total) == ("eos", None)
        assert meter.reads == 4
        status = await client.ask(Status())
        assert status.failed == {"energy sampler": "ValueError: no counter there"}
        assert status.energy == {"source": "rapl", "reason": "ValueError: no counter there"}
        for limited in (make_request(max_watts=25.0), make_request(max_joules=25.0)):
            with pytest.raises(EnergyUnavailable, match="no counter there"):
                await record_of(client, limited)


# --- failures of a single request ----------------------------------------------------------------------------------


async def test_a_question_that_breaks_the_domain_is_answered_and_the_engine_lives_on() -> None:
    class Broken(FakeDomain):
        def detokenize(self, request: Detokenize) -> Text:
            raise KeyError("a token nobody knows")

    async with running(make_system(FakeBackend(answer=("ok",)), Broken())) as system, system.client() as client:
        with pytest.raises(InternalError, match="a token nobody knows"):
            await client.ask(Detokenize(model="tiny", token_ids=(1,)))
        assert (await record_of(client, make_request())).result == "ok"
        assert [(one.where, one.consequence) for one in (await client.ask(Status())).faults] == [("job", "answered")]


async def test_a_store_that_breaks_costs_the_record_and_not_the_execution() -> None:
    class Broken(FakeRecords):
        def finish(self, record: ExecutionRecord) -> None:
            raise OverflowError("too many records")

    backend = FakeBackend(answer=("ok",))
    async with running(make_system(backend, records=Broken())) as system, system.client() as client:
        *_, last = [message async for message in client.run(make_request())]
        assert last.type == "Finished"
        assert "too many records" in last.unrecorded
        assert [one.where for one in (await client.ask(Status())).faults] == ["store of records"]
