"""Operations report progress, run one at a time, and end when no client awaits them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
import trio

from actors.operations import carry_out, with_eta
from actors.system import running
from protocol.answers import Progress
from protocol.client import Client
from protocol.errors import ExecutionCancelled, Overloaded, ShuttingDown
from protocol.operation_answers import Calibrated, Quantized
from protocol.progress import StageProgress
from protocol.requests import Calibrate, Quantize, Status
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain, FakeOperation
from tests.actors.fake_energy import make_meter


def quantize(client: Client) -> AsyncGenerator[Progress | Quantized, None]:
    return client.follow(Quantize(model="tiny", recipe="q8_0", output="/models/out.gguf"))


def calibrate(client: Client) -> AsyncGenerator[Progress | Calibrated, None]:
    return client.follow(Calibrate())


async def test_progress_is_told_until_the_answer_comes() -> None:
    domain = FakeDomain()
    told: list[Progress | Quantized] = []
    async with make_client(FakeBackend(), domain) as client, aclosing(quantize(client)) as messages:
        async for message in messages:
            told.append(message)
            domain.operations_begun[0].may_end.set()
    *progress, made = told
    assert isinstance(made, Quantized)
    assert (made.path, made.tensor_types) == ("/models/out.gguf", {"Q8_0": 1})
    first = progress[0]
    assert isinstance(first, Progress)
    assert (first.stage, first.done, first.total, first.tensors_total) == ("quantizing", 1, 4, 1)
    assert first.eta_s is not None


async def test_who_goes_away_ends_it() -> None:
    domain = FakeDomain()
    async with running(make_system(FakeBackend(), domain)) as system:
        async with system.client() as client, aclosing(quantize(client)) as messages:
            await anext(messages)
        await until(domain.operations_begun[0].cancelled.is_set)


async def test_one_waits_for_the_other() -> None:
    domain = FakeDomain()
    ended: list[int] = []

    async def follow(client: Client, number: int) -> None:
        async for _ in quantize(client):
            pass
        ended.append(number)

    async with make_client(FakeBackend(), domain) as client, trio.open_nursery() as nursery:
        nursery.start_soon(follow, client, 1)
        await until(lambda: len(domain.operations_begun) == 1 and domain.operations_begun[0].begun.is_set())
        nursery.start_soon(follow, client, 2)
        await client.ask(Status())
        assert len(domain.operations_begun) == 1
        domain.operations_begun[0].may_end.set()
        await until(lambda: len(domain.operations_begun) == 2)
        await until(lambda: ended == [1])
        domain.operations_begun[1].may_end.set()


async def test_a_stopping_engine_ends_it() -> None:
    domain = FakeDomain()
    system = make_system(FakeBackend(), domain)
    async with running(system), system.client() as client, aclosing(quantize(client)) as messages:
        await anext(messages)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.stop)
            with pytest.raises(ShuttingDown):
                async for _ in messages:
                    pass
    assert domain.operations_begun[0].cancelled.is_set()


async def test_what_runs_beside_it_does_not_get_all_the_joules() -> None:
    backend, domain = FakeBackend(), FakeDomain(energy_source="rapl")
    system = make_system(backend, domain, make_meter())
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        for beside in (False, True):
            stream = Stream()
            nursery.start_soon(stream.follow, client, make_request())
            await until(lambda: len(backend.live) == 1)
            (sequence_id,) = backend.live
            backend.emit(sequence_id, "a")
            await until(lambda: bool(stream.text))  # noqa: B023
            if beside:
                async with aclosing(quantize(client)) as messages:
                    await anext(messages)
            backend.emit(sequence_id, stop="eos")
            await stream.ended.wait()
            assert (stream.record.metrics.energy.attributed_j is None) == beside


async def test_a_calibration_is_refused_while_anything_runs() -> None:
    backend, domain = FakeBackend(), FakeDomain()
    async with make_client(backend, domain) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: len(backend.live) == 1)
        with pytest.raises(Overloaded, match="1 executions are in progress"):
            async for _ in calibrate(client):
                pass
        (sequence_id,) = backend.live
        backend.emit(sequence_id, stop="eos")
        await stream.ended.wait()
        assert domain.operations_begun == []
        async with aclosing(calibrate(client)) as messages:
            assert isinstance(await anext(messages), Progress)
        assert len(domain.operations_begun) == 1


async def test_a_calibration_waits_for_the_operation_before_it() -> None:
    domain = FakeDomain()
    async with make_client(FakeBackend(), domain) as client, trio.open_nursery() as nursery:

        async def follow(messages: AsyncGenerator[Any, None]) -> None:
            async for _ in messages:
                pass

        nursery.start_soon(follow, quantize(client))
        await until(lambda: len(domain.operations_begun) == 1 and domain.operations_begun[0].begun.is_set())
        nursery.start_soon(follow, client.follow(Calibrate()))
        await client.ask(Status())
        assert len(domain.operations_begun) == 1
        domain.operations_begun[0].may_end.set()
        await until(lambda: len(domain.operations_begun) == 2)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_caller_waits_for_the_operations_end() -> None:
    operation = FakeOperation(Quantize(request_id=1, model="tiny", recipe="q8_0", output="/o"))

    async def tell(progress: StageProgress) -> None:
        scope.cancel()

    with trio.CancelScope() as scope, pytest.raises(ExecutionCancelled):
        await carry_out(operation, tell)
    assert operation.cancelled.is_set()


def test_the_time_left_follows_from_the_mean_speed_so_far() -> None:
    progress = StageProgress(stage="loading", done=25, total=100)
    assert with_eta(progress, 2.0).eta_s == 6.0
    assert with_eta(progress.model_copy(update={"done": 0}), 2.0).eta_s is None
    assert with_eta(progress.model_copy(update={"total": None}), 2.0).eta_s is None
    assert with_eta(progress.model_copy(update={"eta_s": 1.5}), 2.0).eta_s == 1.5
