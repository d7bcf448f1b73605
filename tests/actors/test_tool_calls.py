"""Calls of tools as a client sees them: streamed, recorded, and valid where they must be made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from actors.answer_text import AnswerText, reasoning_tokens
from engine.text.answer.call_formats import CALL_FORMATS
from engine.text.answer.reader import AnswerReader
from engine.text.answer.thinking import THINKING
from protocol.answers import Finished, Tokens
from protocol.chat import ChatMessage, JsonObject
from protocol.codec import decode_engine, encode
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.reasoning import PlanReasoning
from protocol.requests import Replay
from protocol.sampling import Sampling
from protocol.tool_calls import MadeCall, NamedTool, ToolCallDelta
from tests.actors.engine_factory import collect
from tests.actors.real_engine import real_client
from tests.support.gguf_factory import write_tiny_model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Lisboa"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS: tuple[JsonObject, ...] = ({"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},)


def request(model: Path, seed: int, **fields: Any) -> RunRequest:
    execution = ExecutionRequest(
        backend="reference",
        threads=1,
        sampling=Sampling(temperature=1.0, seed=seed),
        limits=Limits(max_tokens=200),
        n=2,
    )
    said = (ChatMessage(role="user", content="Hello"),)
    return RunRequest(model=str(model), messages=said, tools=TOOLS, execution=execution, **fields)


async def test_a_call_that_must_be_made_is_valid_streamed_and_recorded(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=2048)
    async with real_client(tmp_path) as client:
        for seed in range(3):
            choice = NamedTool(name="get_weather")
            messages = await collect(client, request(model, seed, tool_choice=choice))
            finished = messages[-1]
            assert isinstance(finished, Finished)
            (call,) = finished.record.tool_calls
            assert call.name == "get_weather"
            jsonschema.validate(json.loads(call.arguments), SCHEMA)
            assert (finished.record.result, finished.record.stop_reason) == ("", "eos")
            streamed = [message for message in messages if isinstance(message, Tokens)]
            deltas = [delta for message in streamed if message.choice == 0 for delta in message.tool_calls]
            assert [(delta.id, delta.name) for delta in deltas if delta.name is not None] == [(call.id, call.name)]
            assert "".join(delta.arguments for delta in deltas) == call.arguments
            assert all(decode_engine(encode(message)) == message for message in streamed)
            (other,) = finished.record.other_choices[0].tool_calls
            assert other.id != call.id


async def test_a_replay_makes_the_same_calls(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=2048)
    async with real_client(tmp_path) as client:
        first = (await collect(client, request(model, 1, tool_choice="required")))[-1]
        assert isinstance(first, Finished)
        again = [message async for message in client.follow(Replay(execution_id=first.record.execution_id))][-1]
        assert isinstance(again, Finished)
    assert again.record.logits_digest == first.record.logits_digest
    made = [(call.name, call.arguments) for call in first.record.tool_calls]
    assert [(call.name, call.arguments) for call in again.record.tool_calls] == made


def make_text(seed: str = "execution:0") -> AnswerText:
    return AnswerText(AnswerReader(CALL_FORMATS["hermes"], ("f",), THINKING["think"]), seed)


def test_a_name_comes_once_and_every_delta_has_its_index() -> None:
    text = make_text()
    assert text.add("<think>a").reasoning == "a"
    first = text.add(' b</think>Hm <tool_call>{"name": "f", "arguments": {"x"')
    assert (first.text, first.reasoning) == ("Hm", " b")
    begun, more = first.tool_calls
    assert begun == ToolCallDelta(index=0, id=begun.id, name="f")
    assert re.fullmatch("[0-9A-Za-z]{9}", begun.id or "")
    assert more == ToolCallDelta(index=0, arguments='{"x"')
    assert text.add(": 1}}</tool_call>").tool_calls == (ToolCallDelta(index=0, arguments=": 1}"),)
    text.add('<tool_call>{"name": "f"}</tool_call>')
    assert [call.arguments for call in text.calls] == ['{"x": 1}', "{}"]
    assert len({call.id for call in text.calls}) == 2
    assert (text.text, text.reasoning) == ("Hm", "a b")
    assert isinstance(text.calls[0], MadeCall)


def test_what_was_held_back_comes_with_the_end_and_once() -> None:
    text = make_text()
    assert text.add("a <tool_c").text == "a"
    assert text.add("", ended=True).text == " <tool_c"
    assert text.add("", ended=True).text == ""
    assert text.text == "a <tool_c"


@pytest.mark.parametrize(
    ("opened", "token_ids", "expected"),
    [(True, [5, 6, 2, 7], 2), (True, [5, 6], 2), (False, [1, 5, 2, 7], 1), (False, [5, 2], 0), (False, [9, 1, 2], 0)],
)
def test_thinking_is_counted_in_tokens(opened: bool, token_ids: list[int], expected: int) -> None:
    reasoning = PlanReasoning(format="think", opened=opened, begin_token_id=1, end_token_id=2, max_tokens=None)
    assert reasoning_tokens(reasoning, token_ids) == expected
    unknown = reasoning.model_copy(update={"end_token_id": None})
    assert reasoning_tokens(unknown, token_ids) is None
    assert reasoning_tokens(None, token_ids) is None
