"""Anthropic's messages: blocks in, blocks out, and the exact order of a stream's events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.dialects.anthropic.messages import MessagesRequest, from_outcome, to_run_request, without_budget
from protocol.dialects.anthropic.stream import MessagesStream
from protocol.dialects.fault import HttpFault
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from tests.protocol.dialects.messages_factory import accepted, finished, metrics, outcome, tokens
from tests.protocol.dialects.sse_reader import read_events

HELLO = [{"role": "user", "content": "Hello"}]


def asked(**fields: Any) -> MessagesRequest:
    return read(MessagesRequest, {"messages": HELLO, "max_tokens": 16, **fields})


def messages_of(**fields: Any) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in to_run_request(asked(**fields), "tiny").messages or ()]


def test_the_system_comes_first_as_a_text_or_as_blocks() -> None:
    for system in ("Be brief.", [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]):
        assert messages_of(system=system) == [("system", "Be brief."), ("user", "Hello")]


def test_a_system_message_in_the_middle_stays_in_its_place() -> None:
    messages = [*HELLO, {"role": "system", "content": "Be brief."}, *HELLO]
    assert [role for role, _ in messages_of(messages=messages)] == ["user", "system", "user"]


def test_calls_and_their_results_become_messages_of_their_own() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sunny"}]}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    messages = [
        *HELLO,
        {"role": "assistant", "content": [thought, {"type": "text", "text": "Let me see."}, call]},
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
        {"role": "user", "content": [result]},
    ]
    request = to_run_request(asked(messages=messages), "tiny")
    assert request.messages is not None
    assert [(one.role, one.content) for one in request.messages] == [
        ("user", "Hello"),
        ("assistant", "Let me see."),
        ("tool", "sunny"),
        ("user", "And?"),
        ("tool", "sunny"),
    ]
    assert request.messages[1].tool_calls[0].function.arguments == {"city": "Rome"}
    assert [one.reasoning_content for one in request.messages] == [None, "Hm.", None, None, None]


def test_a_bound_on_thinking_can_be_left_out() -> None:
    request = to_run_request(asked(thinking={"type": "enabled", "budget_tokens": 64}), "tiny")
    assert request.execution.reasoning.max_tokens == 64
    unbounded = without_budget(request).execution.reasoning
    assert (unbounded.enabled, unbounded.max_tokens) == (True, None)


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_a_schema_holds_the_answer(field: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    given = {"format": form} if field == "output_config" else form
    grammar = to_run_request(asked(**{field: given}), "tiny").execution.grammar
    assert grammar is not None
    assert json.loads(grammar.source) == {"type": "object"}


@pytest.mark.parametrize("form", [{"type": "json_schema"}, {"type": "xml"}, {}])
def test_a_form_that_nothing_could_hold_the_answer_to_is_refused(form: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match=r"output_config\.format"):
        to_run_request(asked(output_config={"format": form}), "tiny")


def test_a_second_answer_has_no_place() -> None:
    with pytest.raises(InvalidRequest, match="answers once"):
        to_run_request(asked(execution={"n": 2}), "tiny")


def test_tools_with_a_schema_are_functions_and_the_servers_own_are_skipped() -> None:
    tools = [{"name": "now", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}]
    request = to_run_request(asked(tools=tools), "tiny")
    assert request.tools == ({"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": None},
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
    ],
)
def test_what_cannot_be_answered_is_refused_by_its_field(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_run_request(asked(**fields), "tiny")
    assert refused.value.params["field"] == next(iter(fields))


def test_counting_needs_no_limit() -> None:
    assert to_run_request(asked(max_tokens=None), "tiny", counted=True).execution.limits.max_tokens == 1


def test_an_answer_tells_cached_tokens_apart() -> None:
    told = json.loads(from_outcome(asked(), outcome("Hi", metrics=metrics(cached_prompt_tokens=2))).json_bytes())
    assert told["content"] == [{"type": "text", "text": "Hi"}]
    assert (told["stop_reason"], told["stop_sequence"]) == ("end_turn", None)
    assert (told["usage"]["input_tokens"], told["usage"]["cache_read_input_tokens"]) == (1, 2)
    assert told["usage"]["energy"]["reason"] == "no meter"


def test_the_reason_of_the_end_is_the_dialects() -> None:
    stopped = asked(stop_sequences=["END"])
    assert from_outcome(stopped, outcome("Hi", stop="stop_string")).stop_sequence == "END"
    assert from_outcome(asked(), outcome("Hi", stop="max_tokens")).stop_reason == "max_tokens"


def test_a_streams_events_come_in_their_order() -> None:
    stream = MessagesStream(asked())
    messages = (accepted(), tokens("H"), tokens(""), tokens("i"), finished("Hi"))
    events = read_events(b"".join(stream.feed(0, one, {}) for one in messages) + stream.end())
    assert [one["type"] for one in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["content"] == []
    assert "".join(one["delta"]["text"] for one in events[3:5]) == "Hi"
    assert events[6]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[6]["usage"]["output_tokens"] == 2


def test_a_stream_that_fails_says_so() -> None:
    (told,) = read_events(MessagesStream(asked()).fail(HttpFault(503, "shutting_down", "stopping")))
    assert told == {"type": "error", "error": {"type": "overloaded_error", "message": "stopping"}}


def test_a_tool_without_a_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="name"):
        to_run_request(asked(tools=[{"name": None, "input_schema": {}}]), "tiny")
