"""Calls of tools and thinking, in the words of each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.answer_checks import RunMessage
from protocol.answers import Tokens
from protocol.dialects.anthropic import messages as anthropic
from protocol.dialects.anthropic.stream import MessagesStream
from protocol.dialects.generation import tool_choice
from protocol.dialects.ollama import generation as ollama
from protocol.dialects.openai import chat, responses
from protocol.dialects.outcome import Outcome
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from protocol.tool_calls import MadeCall, NamedTool, PlanTools, ToolCallDelta
from tests.protocol.dialects.messages_factory import BUILD, CREATED, accepted, finished, outcome, plan
from tests.protocol.dialects.sse_reader import read_events

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
HELLO = [{"role": "user", "content": "Weather?"}]
OLLAMA_CHAT = read(ollama.OllamaChatRequest, {"messages": HELLO})
CALL = MadeCall(id="call12345", name="weather", arguments='{"city":"Rome"}')
PARTS = (
    ToolCallDelta(index=0, id="call12345", name="weather"),
    ToolCallDelta(index=0, arguments='{"city":'),
    ToolCallDelta(index=0, arguments='"Rome"}'),
)


def message(*calls: ToolCallDelta, text: str = "", reasoning: str = "") -> Tokens:
    return Tokens(execution_id="exec-1", token_ids=(7,), text=text, reasoning=reasoning, tool_calls=calls)


STREAMED: tuple[RunMessage, ...] = (accepted(), message(reasoning="Hm."), *(message(part) for part in PARTS))
ENDED = finished("", tool_calls=(CALL,), reasoning="Hm.", reasoning_tokens=1)


def called(**changed: Any) -> Outcome:
    return outcome("", tool_calls=(CALL,), reasoning="Hm.", reasoning_tokens=1, **changed)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, None),
        ("required", "required"),
        ({"type": "function", "function": {"name": "weather"}}, {"name": "weather"}),
        ({"type": "function", "name": "weather"}, {"name": "weather"}),
        ({"type": "tool", "name": "weather"}, {"name": "weather"}),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
    ],
)
def test_a_choice_of_tools_is_the_same_in_every_dialect(said: object, meant: object) -> None:
    assert tool_choice(said) == meant


def test_a_choice_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        tool_choice({"type": "whatever"})


def test_a_chat_asks_for_calls_as_it_says() -> None:
    asked = read(chat.ChatRequest, {"messages": HELLO, "tools": TOOLS, "tool_choice": "required"})
    request = chat.to_run_request(asked, "tiny")
    assert (request.tool_choice, request.parallel_tool_calls) == ("required", True)
    quiet = read(chat.ChatRequest, {"messages": HELLO, "chat_template_kwargs": {"enable_thinking": False}})
    assert chat.to_run_request(quiet, "tiny").execution.reasoning.enabled is False


def test_a_chats_calls_have_their_arguments_as_text_and_no_content_beside_them() -> None:
    told = json.loads(chat.from_outcome(chat.ChatRequest(), called(), CREATED).json_bytes())
    (choice,) = told["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "call12345", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        ],
    }
    assert told["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


def test_a_tool_that_was_named_ends_with_stop_and_a_limit_always_with_length() -> None:
    named = plan().model_copy(
        update={
            "tools": PlanTools(
                format="json", choice=NamedTool(name="weather"), parallel=False, names=("weather",), instruction=False
            )
        }
    )
    answer = chat.from_outcome(chat.ChatRequest(), called(plan=named), CREATED)
    assert answer.choices[0].finish_reason == "stop"
    cut = chat.from_outcome(chat.ChatRequest(), called(stop="max_tokens"), CREATED)
    assert cut.choices[0].finish_reason == "length"


def test_a_calls_name_comes_once_and_every_part_has_its_index() -> None:
    stream = chat.ChatStream(chat.ChatRequest(), BUILD, CREATED)
    chunks = read_events(b"".join(stream.feed(0, one, {}) for one in (*STREAMED, ENDED)))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[1] == {"reasoning_content": "Hm."}
    assert [delta["tool_calls"][0] for delta in deltas[2:5]] == [
        {"index": 0, "id": "call12345", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_responses_thinking_and_call_are_items_with_their_whole_lives() -> None:
    stream = responses.ResponsesStream(responses.ResponsesRequest(), BUILD, CREATED)
    events = read_events(b"".join(stream.feed(0, one, {}) for one in (*STREAMED, ENDED)))
    assert [one["type"] for one in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    thought, item = events[-1]["response"]["output"]
    assert (thought["type"], thought["content"]) == ("reasoning", [{"type": "reasoning_text", "text": "Hm."}])
    assert (item["call_id"], item["arguments"], item["status"]) == ("call12345", '{"city":"Rome"}', "completed")
    whole = responses.from_outcome(responses.ResponsesRequest(), called(), CREATED)
    assert json.loads(whole.json_bytes())["output"] == [thought, item]


def test_anthropics_thinking_and_calls_are_blocks_one_after_the_other() -> None:
    stream = MessagesStream(anthropic.MessagesRequest())
    events = read_events(b"".join(stream.feed(0, one, {}) for one in (*STREAMED, ENDED)))
    assert [(one["type"], one.get("index")) for one in events[2:-2]] == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
    ]
    assert "".join(one["delta"]["partial_json"] for one in events[6:8]) == '{"city":"Rome"}'
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    whole = anthropic.from_outcome(anthropic.MessagesRequest(), called())
    assert [block.type for block in whole.content] == ["thinking", "tool_use"]
    assert json.loads(whole.json_bytes())["content"][1]["input"] == {"city": "Rome"}


def test_anthropics_budget_of_thinking_is_the_plans() -> None:
    thinking = {"type": "enabled", "budget_tokens": 64}
    asked = read(anthropic.MessagesRequest, {"messages": HELLO, "max_tokens": 8, "thinking": thinking})
    reasoning = anthropic.to_run_request(asked, "tiny").execution.reasoning
    assert (reasoning.enabled, reasoning.max_tokens) == (True, 64)


def test_ollamas_calls_come_whole_with_objects_for_arguments() -> None:
    stream = ollama.LineStream(OLLAMA_CHAT, "now")
    lines = b"".join(stream.feed(0, one, {}) for one in (*STREAMED, ENDED)).splitlines()
    thought, last = map(json.loads, lines)
    assert thought["message"]["thinking"] == "Hm."
    assert last["message"]["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]


def test_a_call_that_was_cut_has_no_arguments_where_they_must_be_an_object() -> None:
    cut = outcome("", stop="max_tokens", tool_calls=(CALL.model_copy(update={"arguments": '{"ci'}),))
    told = ollama.from_outcome(OLLAMA_CHAT, cut, "now")
    assert told.message.tool_calls[0].function.arguments == {}
