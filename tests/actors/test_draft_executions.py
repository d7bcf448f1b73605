"""Executions for which a model guesses, behind the real actors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.answers import Finished, Planned
from protocol.errors import InvalidPlan, ModelInUse
from protocol.plan import RunRequest, Stop
from protocol.record import ExecutionRecord
from protocol.requests import Plan, RemoveModel, Replay, Status
from protocol.speculation import Speculation
from tests.actors.engine_factory import record_of
from tests.actors.real_engine import real_client, request
from tests.support.gguf_factory import write_tiny_model

FREE: dict[str, Any] = {"row_cost": 0.0, "draft_cost": 0.0}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tiny_model(tmp_path / "small.gguf", n_layer=1)
    return write_tiny_model(tmp_path / "tiny.gguf")


def asked(model: Path, speculation: Speculation) -> RunRequest:
    plain = request(model, max_tokens=60)
    update = {"speculation": speculation, "n": 2, "stop": Stop(eos=False)}
    return plain.model_copy(update={"execution": plain.execution.model_copy(update=update)})


def told(record: ExecutionRecord) -> tuple[object, ...]:
    return record.token_ids, record.logits_digest, record.other_choices


async def test_a_record_tells_what_a_model_guessed_and_how_long_it_took(model: Path, tmp_path: Path) -> None:
    draft = asked(model, Speculation(kind="draft", model="small", **FREE))
    own = asked(model, Speculation(kind="self", quantization="q8_0", **FREE))
    async with real_client(tmp_path) as client:
        off = await record_of(client, asked(model, Speculation()))
        assert (off.metrics.draft_ms, off.metrics.draft_joules) == (None, None)
        for one in (draft, own):
            record = await record_of(client, one)
            assert told(record) == told(off)
            metrics = record.metrics
            assert metrics.drafted_tokens is not None
            assert metrics.accepted_tokens is not None
            assert metrics.drafted_tokens >= metrics.accepted_tokens > 0
            assert metrics.draft_ms is not None
            assert metrics.decode_ms is not None
            assert metrics.draft_ms > 0.0
            assert metrics.draft_joules is None
            assert metrics.energy.reason
            assert metrics.memory.weights_bytes is not None
            assert off.metrics.memory.weights_bytes is not None
            assert metrics.memory.weights_bytes > off.metrics.memory.weights_bytes
            *_, again = [message async for message in client.follow(Replay(execution_id=record.execution_id))]
            assert isinstance(again, Finished)
            assert (again.record.plan, told(again.record)) == (record.plan, told(off))
            planned = await client.ask(Plan(request=one))
            assert isinstance(planned, Planned)
            assert planned.prediction.executions == 2
            assert planned.estimate.draft_weights_bytes > 0
        status = await client.ask(Status())
        assert {(one.model, one.quantization) for one in status.models_loaded} == {
            ("tiny", "native"),
            ("small", "native"),
            ("tiny", "q8_0"),
        }


async def test_what_cannot_guess_is_refused_in_the_users_words(model: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "more.gguf", more_controls=("<|more|>",))
    async with real_client(tmp_path) as client:
        with pytest.raises(InvalidPlan, match="more cannot guess for tiny: their vocabularies differ in tokens"):
            await record_of(client, asked(model, Speculation(kind="draft", model="more")))
        native = asked(model, Speculation(kind="self", quantization="native"))
        with pytest.raises(InvalidPlan, match="no smaller than the run's own"):
            await record_of(client, native)


async def test_a_model_that_guesses_is_in_use(model: Path, tmp_path: Path) -> None:
    running = asked(model, Speculation(kind="draft", model="small", **FREE))
    limits = running.execution.limits.model_copy(update={"max_tokens": 150})
    running = running.model_copy(update={"execution": running.execution.model_copy(update={"limits": limits})})
    async with real_client(tmp_path) as client:
        messages = client.run(running)
        await anext(messages)
        with pytest.raises(ModelInUse):
            await client.ask(RemoveModel(model="small"))
        await messages.aclose()
