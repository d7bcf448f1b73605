"""OpenAI's responses: items in, items out, and the whole life of each in a stream."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from protocol.dialects.fault import HttpFault
from protocol.dialects.openai.responses import ResponsesRequest, ResponsesStream, from_outcome, to_run_request
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from tests.protocol.dialects.messages_factory import BUILD, CREATED, accepted, drawn, finished, outcome, tokens
from tests.protocol.dialects.sse_reader import read_events


def asked(**fields: Any) -> ResponsesRequest:
    return read(ResponsesRequest, {"input": "Hello", **fields})


def messages_of(**fields: Any) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in to_run_request(asked(**fields), "tiny").messages or ()]


def test_instructions_come_first_and_a_text_is_the_users() -> None:
    assert messages_of(instructions="Be brief.") == [("system", "Be brief."), ("user", "Hello")]


def test_items_become_messages_and_calls_with_their_results() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "sunny"}]},
    ]
    request = to_run_request(asked(input=items), "tiny")
    assert request.messages is not None
    assert [one.role for one in request.messages] == ["user", "assistant", "tool"]
    assert request.messages[1].tool_calls[0].function.arguments == {"city": "Rome"}
    assert request.messages[2].content == "sunny"


def test_flat_functions_become_tools_and_other_kinds_are_skipped() -> None:
    tools = [{"type": "function", "name": "now", "parameters": {}}, {"type": "web_search"}]
    request = to_run_request(asked(tools=tools), "tiny")
    assert request.tools == ({"type": "function", "function": {"name": "now", "parameters": {}}},)


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"previous_response_id": "resp_1"},
            {"conversation": "conv_1"},
            {"background": True},
            {"prompt": {"id": "p"}},
        ),
        *({"input": []}, {"input": [{"type": "x"}]}, {"n": 2}),
    ],
)
def test_hidden_state_and_unknown_items_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_run_request(asked(**fields), "tiny")
    assert refused.value.params["field"] == next(iter(fields))


def test_a_format_holds_the_answer() -> None:
    text = {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}
    grammar = to_run_request(asked(text=text), "tiny").execution.grammar
    assert grammar is not None
    assert json.loads(grammar.source) == {"type": "object"}


def test_an_answer_is_a_message_with_its_usage() -> None:
    told = json.loads(from_outcome(asked(), outcome("Hi"), CREATED).json_bytes())
    assert (told["object"], told["status"], told["incomplete_details"]) == ("response", "completed", None)
    assert told["output"][0]["content"] == [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]
    assert told["usage"]["total_tokens"] == 5
    assert told["usage"]["energy"]["reason"] == "no meter"
    assert "weos" not in told


def test_a_response_repeats_what_was_asked_of_tools_and_thinking_can_be_turned_off() -> None:
    tools = [{"type": "function", "name": "now", "parameters": {}}]
    request = asked(tools=tools, tool_choice="required", parallel_tool_calls=False, reasoning={"effort": "none"})
    told = from_outcome(request, outcome("Hi"), CREATED)
    assert (told.tool_choice, told.parallel_tool_calls, told.tools) == ("required", False, tuple(tools))
    assert to_run_request(request, "tiny").execution.reasoning.enabled is False


def test_an_answer_that_a_limit_ended_is_incomplete() -> None:
    told = from_outcome(asked(), outcome("Hi", stop="max_tokens"), CREATED)
    assert (told.status, told.incomplete_details) == ("incomplete", {"reason": "max_output_tokens"})


def test_a_stream_tells_the_whole_life_of_its_item_in_numbered_events() -> None:
    stream = ResponsesStream(asked(), BUILD, CREATED)
    messages = (accepted(), tokens("H"), tokens("i"), finished("Hi"))
    events = read_events(b"".join(stream.feed(0, one, {}) for one in messages) + stream.end())
    assert [one["type"] for one in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [one["sequence_number"] for one in events] == list(range(10))
    assert "".join(one.get("delta", "") for one in events) == events[6]["text"] == "Hi"
    assert events[-1]["response"]["output"][0] == events[8]["item"]


@pytest.mark.parametrize("fields", [{"top_logprobs": 0}, {"include": ["message.output_text.logprobs"]}])
def test_log_probabilities_are_asked_for_by_either_field(fields: dict[str, Any]) -> None:
    assert to_run_request(asked(**fields), "tiny").execution.logprobs == 0
    assert to_run_request(asked(include=["reasoning.encrypted_content"]), "tiny").execution.logprobs is None


LOGPROBS = (drawn(7, -0.5, t8=-1.0), drawn(8, -0.25))
PIECES = {7: "H", 8: "i"}


def test_log_probabilities_stand_with_the_text_in_one_piece() -> None:
    told = outcome("Hi")
    told = dataclasses.replace(told, tokens=(tokens("Hi", logprobs=LOGPROBS),), pieces=PIECES)
    (item,) = json.loads(from_outcome(asked(top_logprobs=1), told, CREATED).json_bytes())["output"]
    other = {"token": "i", "logprob": -1.0, "bytes": [105]}
    assert item["content"][0]["logprobs"] == [
        {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [other]},
        {"token": "i", "logprob": -0.25, "bytes": [105], "top_logprobs": []},
    ]


def test_log_probabilities_go_with_the_delta_that_has_their_text_and_all_stand_in_the_end() -> None:
    stream = ResponsesStream(asked(top_logprobs=1), BUILD, CREATED)
    held, last = LOGPROBS
    messages = (accepted(), tokens("", logprobs=(held,)), tokens("Hi", logprobs=(last,)), finished("Hi"))
    events = read_events(b"".join(stream.feed(0, one, PIECES) for one in messages))
    (delta,) = (one for one in events if one["type"] == "response.output_text.delta")
    (done,) = (one for one in events if one["type"] == "response.output_text.done")
    assert [one["logprob"] for one in delta["logprobs"]] == [-0.5, -0.25]
    assert delta["logprobs"] == done["logprobs"]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == done["logprobs"]


def test_a_stream_that_fails_says_so() -> None:
    (told,) = read_events(
        ResponsesStream(asked(), BUILD, CREATED).fail(HttpFault(500, "internal_error", "out of luck"))
    )
    assert (told["type"], told["message"]) == ("error", "out of luck")
