"""What the real engine holds in memory, and when it lets go."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import trio

from actors.http.options import HttpOptions
from protocol.errors import (
    ModelInUse,
)
from protocol.requests import (
    Cancel,
    ClearPrefixCache,
    Status,
    UnloadModel,
)
from tests.actors.engine_factory import Stream, record_of, until
from tests.actors.real_engine import long_request, real_client, request
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


async def test_a_cancel_ends_a_long_answer_and_frees_its_kv_cache(tmp_path: Path) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, long_request(tmp_path))
        await until(lambda: any(message.type == "Tokens" for message in stream.messages))
        assert (await client.ask(Status())).memory_bytes["kv_cache"] > 0
        await client.ask(Cancel(execution_id=stream.execution_id))
        await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
        assert 0 < stream.record.metrics.tokens_total < 8000
        assert (await client.ask(Status())).memory_bytes["kv_cache"] == 0


async def test_a_prefix_is_shown_in_the_record_and_the_status_until_it_is_cleared(model: Path, tmp_path: Path) -> None:
    long = request(model, prompt="a long prompt, over and over " * 8)
    cached = long.model_copy(update={"execution": long.execution.model_copy(update={"prefix_cache": "on"})})
    async with real_client(tmp_path) as client:
        cold = await record_of(client, long)
        assert (await client.ask(Status())).prefix_cache.blocks == 0
        miss, hit = [await record_of(client, cached) for _ in range(2)]
        whole = (len(hit.prompt_token_ids) - 1) // 64 * 64
        assert [record.metrics.cached_prompt_tokens for record in (cold, miss, hit)] == [0, 0, whole]
        assert {record.logits_digest for record in (cold, miss, hit)} == {cold.logits_digest}
        assert {record.result for record in (cold, miss, hit)} == {cold.result}
        status = await client.ask(Status())
        assert status.memory_bytes["prefix_cache"] == status.prefix_cache.size_bytes > 0
        await client.ask(ClearPrefixCache())
        status = await client.ask(Status())
        assert (status.memory_bytes["prefix_cache"], status.prefix_cache.blocks) == (0, 0)
        assert (await record_of(client, cached)).metrics.cached_prompt_tokens == 0


async def test_weights_that_nothing_uses_leave_memory_when_asked_to(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        await client.ask(UnloadModel(model=str(model)))
        first = await record_of(client, request(model))
        assert [one.model for one in (await client.ask(Status())).models_loaded] == [first.model]
        await client.ask(UnloadModel(model=str(model)))
        assert (await client.ask(Status())).models_loaded == ()
        again = await record_of(client, request(model))
        assert again.logits_digest == first.logits_digest


async def test_weights_that_an_execution_needs_stay_and_it_goes_on(tmp_path: Path) -> None:
    run, door = long_request(tmp_path), tmp_path / "http.sock"
    unload = {"model": run.model, "keep_alive": 0}
    async with (
        real_client(tmp_path, tmp_path / "engine.sock", http=HttpOptions(door)) as client,
        httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(door)), base_url="http://engine") as web,
        trio.open_nursery() as nursery,
    ):
        stream = Stream()
        nursery.start_soon(stream.follow, client, run)
        await until(lambda: any(message.type == "Tokens" for message in stream.messages))
        with pytest.raises(ModelInUse):
            await client.ask(UnloadModel(model=run.model))
        answers = [await web.post(path, json=unload) for path in ("/api/generate", "/api/chat")]
        answers.append(await web.post("/v1/weos/models/unload", json={"model": run.model}))
        assert [answer.status_code for answer in answers] == [409, 409, 409]
        assert answers[-1].json()["error"]["code"] == "model_in_use"
        told = len(stream.messages)
        await until(lambda: len(stream.messages) > told)
        await client.ask(Cancel(execution_id=stream.execution_id))
        await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
        assert (await web.post("/api/generate", json=unload)).json()["done_reason"] == "unload"
        assert (await client.ask(Status())).models_loaded == ()
