"""Requests that run nothing: each gets its one answer."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import trio

from actors.limits import ServiceLimits
from actors.system import running
from protocol.answers import ModelDescription, Progress
from protocol.errors import FrameTooLarge, ModelInUse
from protocol.requests import (
    ClearPrefixCache,
    Detokenize,
    ListModels,
    ModelInfo,
    Plan,
    PullModel,
    RemoveModel,
    Status,
    Tokenize,
)
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, record_of, until
from tests.actors.fake_backend import KV_BYTES, FakeBackend
from tests.actors.fake_domain import FakeDomain


async def test_a_plan_is_shown_and_nothing_runs() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client:
        planned = await client.ask(Plan(request=make_request("abc", max_tokens=5)))
    assert planned.plan.limits.max_tokens == 5
    assert planned.plan_fingerprint == planned.plan.fingerprint
    assert planned.estimate.prompt_tokens == 3
    assert not backend.loads


async def test_models_are_listed_and_described() -> None:
    async with make_client(FakeBackend()) as client:
        assert [model.name for model in (await client.ask(ListModels())).models] == ["tiny"]
        assert (await client.ask(ModelInfo(model="tiny"))).parameters_total == 1250


async def test_text_becomes_tokens_and_text_again() -> None:
    async with make_client(FakeBackend()) as client:
        token_ids = await client.ask(Tokenize(model="tiny", text="né"))
        assert (token_ids.token_ids, token_ids.pieces) == ((110, 233), ("n", "é"))
        assert (await client.ask(Detokenize(model="tiny", token_ids=token_ids.token_ids))).text == "né"


async def test_a_pull_tells_of_its_progress() -> None:
    domain = FakeDomain()
    told: list[Progress | ModelDescription] = []
    async with (
        make_client(FakeBackend(), domain) as client,
        aclosing(client.follow(PullModel(model="tiny"))) as messages,
    ):
        async for message in messages:
            told.append(message)
            domain.pulls[0].may_end.set()
    first, last = told[0], told[-1]
    assert isinstance(first, Progress)
    assert (first.stage, first.done, first.total, first.eta_s) == ("download", 10, 20, 4.0)
    assert isinstance(last, ModelDescription)


async def test_a_pull_ends_with_its_client_and_holds_nobody_up() -> None:
    domain = FakeDomain()
    async with running(make_system(FakeBackend(), domain)) as system, system.client() as other:
        async with system.client() as client, aclosing(client.follow(PullModel(model="tiny"))) as messages:
            await anext(messages)
            assert len((await other.ask(Tokenize(model="tiny", text="x"))).token_ids) == 1
        await until(domain.pulls[0].cancelled.is_set)
        # Its thread waits for the network still; the next pull waits for it, and the engine for neither.
        async with aclosing(other.follow(PullModel(model="tiny"))) as messages:
            await anext(messages)
            assert not domain.pulls[0].ended.is_set()
            for pull in domain.pulls:
                pull.may_end.set()
            assert [message async for message in messages][-1].type == "ModelDescription"
    assert [pull.ended.is_set() for pull in domain.pulls] == [True, True]


async def test_a_model_is_removed_unless_an_execution_needs_it() -> None:
    backend, domain = FakeBackend(), FakeDomain()
    async with make_client(backend, domain) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: bool(backend.live))
        with pytest.raises(ModelInUse):
            await client.ask(RemoveModel(model="tiny"))
        assert (await client.ask(RemoveModel(model="tiny-other"))).freed_bytes == 5000
        backend.emit(1, stop="eos")
        await stream.ended.wait()
        assert (await client.ask(RemoveModel(model="tiny", dry_run=True))).dry_run
        assert domain.removed == ["tiny-other"]
        await client.ask(RemoveModel(model="tiny"))
        assert domain.removed == ["tiny-other", "tiny"]


async def test_the_status_shows_what_runs_and_what_it_holds() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        assert (await client.ask(Status())).memory_bytes == {"weights": 0, "kv_cache": 0, "prefix_cache": 0}
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request("abc"))
        await until(lambda: bool(backend.live))
        backend.emit(1, "a", "b")
        await until(lambda: stream.text == "ab")
        status = await client.ask(Status())
        assert [(one.state, one.prompt_tokens, one.tokens_total) for one in status.executions] == [("running", 3, 2)]
        assert [(one.model, one.in_use) for one in status.models_loaded] == [("tiny", True)]
        assert status.memory_bytes == {"weights": 5000, "kv_cache": KV_BYTES, "prefix_cache": 0}
        assert status.energy == {"source": "none", "reason": "no meter"}
        backend.emit(1, stop="eos")
        await stream.ended.wait()
        status = await client.ask(Status())
        assert (status.executions, status.finished_total) == ((), 1)
        assert status.memory_bytes["kv_cache"] == 0


async def test_the_prefix_cache_is_cleared_by_message() -> None:
    domain = FakeDomain()
    async with make_client(FakeBackend(), domain) as client:
        await client.ask(ClearPrefixCache())
    assert domain.prefix_cache_clears == 1


async def test_a_reply_too_large_for_a_frame_is_a_typed_failure() -> None:
    limits = ServiceLimits(max_frame_bytes=2000)
    async with running(make_system(FakeBackend(), limits=limits)) as system, system.client() as client:
        with pytest.raises(FrameTooLarge):
            await client.ask(Tokenize(model="tiny", text="x" * 1000))
        assert len((await client.ask(Tokenize(model="tiny", text="x"))).token_ids) == 1


async def test_a_backend_that_fails_one_execution_is_a_typed_failure_of_that_one() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: bool(backend.live))
        backend.emit(1, "a", stop="error", error="the logits are not finite")
        await stream.ended.wait()
        assert stream.error is not None
        assert (stream.error.code, stream.error.message) == ("internal_error", "the logits are not finite")
        assert stream.error.params == {"execution_id": stream.execution_id}
        backend.answer = ("fine",)
        assert (await record_of(client, make_request())).result == "fine"
