"""OpenAI's chat: what becomes of a body, and what an execution becomes for a client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.answer_checks import RunMessage
from protocol.dialects.fault import HttpFault
from protocol.dialects.openai.chat import ChatRequest, ChatStream, from_outcome, to_run_request
from protocol.dialects.shape import read
from protocol.errors import InternalError, InvalidRequest
from protocol.plan import RunRequest
from protocol.sampling import LogitBias
from tests.protocol.dialects.messages_factory import (
    BUILD,
    CREATED,
    FINGERPRINT,
    accepted,
    drawn,
    finished,
    metrics,
    outcome,
    tokens,
)
from tests.protocol.dialects.sse_reader import read_events

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "number"}}}


def asked(**fields: Any) -> ChatRequest:
    return read(ChatRequest, {"messages": HELLO, **fields})


def requested(**fields: Any) -> RunRequest:
    return to_run_request(asked(**fields), "tiny")


def streamed(request: ChatRequest, *messages: RunMessage, pieces: dict[int, str] | None = None) -> list[Any]:
    stream = ChatStream(request, BUILD, CREATED)
    return read_events(b"".join(stream.feed(0, one, pieces or {}) for one in messages) + stream.end())


def test_a_conversation_becomes_messages_with_the_dialects_defaults() -> None:
    request = requested(messages=[{"role": "developer", "content": "Be brief."}, *HELLO])
    assert [(one.role, one.content) for one in request.messages or ()] == [
        ("developer", "Be brief."),
        ("user", "Hello"),
    ]
    assert request.execution.sampling.temperature == 1.0
    assert request.execution.sampling.seed == 0
    assert request.execution.limits.max_tokens == 2048


def test_what_a_client_sets_is_in_the_request() -> None:
    execution = requested(
        temperature=0.5, top_p=0.9, seed=7, stop="\n", presence_penalty=1, max_tokens=5, n=2, logit_bias={"12": -100}
    ).execution
    sampling = execution.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.presence_penalty) == (0.5, 0.9, 7, 1.0)
    assert sampling.logit_bias == (LogitBias(token_id=12, bias=-100.0),)
    assert (execution.stop.strings, execution.limits.max_tokens, execution.n) == (("\n",), 5, 2)
    assert requested(stop_token_ids=[7, 9]).execution.stop.token_ids == (7, 9)
    assert from_outcome(asked(), outcome("Hi", stop="stop_token"), CREATED).choices[0].finish_reason == "stop"


def test_the_newer_name_of_the_limit_counts_before_the_older() -> None:
    assert requested(max_tokens=5, max_completion_tokens=9).execution.limits.max_tokens == 9


def test_the_engines_own_fields_count_before_the_dialects() -> None:
    own = {"backend": "reference", "limits": {"max_joules": 5.0}, "sampling": {"temperature": 0.0}}
    execution = requested(execution=own, temperature=1.5, max_tokens=9).execution
    assert (execution.backend, execution.sampling.temperature) == ("reference", 0.0)
    assert (execution.limits.max_joules, execution.limits.max_tokens) == (5.0, 9)


def test_fields_of_other_servers_are_ignored_and_unknown_fields_of_ours_refused() -> None:
    assert requested(user="somebody", service_tier="auto", store=True)
    with pytest.raises(InvalidRequest, match="colour"):
        requested(execution={"colour": "red"})


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_content_may_be_empty_in_every_way(content: object) -> None:
    request = requested(messages=[{"role": "assistant", "content": content}, *HELLO])
    assert request.messages is not None
    assert request.messages[0].text == ""


def test_parts_of_text_are_joined_and_parts_of_anything_else_refused() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    messages = requested(messages=[{"role": "user", "content": parts}]).messages
    assert messages is not None
    assert messages[0].content == "Hello"
    with pytest.raises(InvalidRequest, match="image_url"):
        requested(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])


@pytest.mark.parametrize("arguments", ['{"city": "Rome"}', {"city": "Rome"}])
def test_arguments_of_earlier_calls_come_as_a_text_or_an_object(arguments: object) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    reply = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    messages = requested(messages=[*HELLO, {"role": "assistant", "tool_calls": [call]}, reply]).messages
    assert messages is not None
    assert messages[1].tool_calls[0].function.arguments == {"city": "Rome"}
    assert messages[2].tool_call_id == "c1"


def test_a_call_without_arguments_has_none() -> None:
    call = {"function": {"name": "now", "arguments": ""}}
    messages = requested(messages=[*HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]).messages
    assert messages is not None
    assert messages[1].tool_calls[0].function.arguments == {}


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        {"type": "json_schema", "schema": SCHEMA},
    ],
    ids=["nested", "top level"],
)
def test_a_schema_is_kept_in_its_order(response_format: object) -> None:
    grammar = requested(response_format=response_format).execution.grammar
    assert grammar is not None
    assert grammar.kind == "json_schema"
    assert list(json.loads(grammar.source)["properties"]) == ["b", "a"]


@pytest.mark.parametrize("response_format", [{"type": "json_schema"}, {"type": "xml"}])
def test_a_form_that_nothing_could_hold_the_answer_to_is_refused(response_format: object) -> None:
    with pytest.raises(InvalidRequest, match="response_format"):
        requested(response_format=response_format)


@pytest.mark.parametrize(
    "fields",
    [
        *({"messages": []}, {"temperature": "warm"}, {"logit_bias": {"cat": 1}}, {"logit_bias": {"9" * 5000: 1}}),
        *({"functions": [{"name": "now"}]}, {"function_call": "auto"}, {"audio": {"voice": "x"}}),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        requested(**fields)
    assert next(iter(fields)) in refused.value.params["field"]


def test_an_answer_in_one_piece_says_what_it_was_made_of() -> None:
    answer = json.loads(from_outcome(asked(), outcome("Hi"), CREATED).json_bytes())
    assert answer["id"] == "chatcmpl-exec-1"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["system_fingerprint"].startswith(FINGERPRINT)
    assert answer["usage"]["total_tokens"] == 5
    assert answer["usage"]["energy"]["joules"] is None
    assert answer["usage"]["energy"]["reason"] == "no meter"
    assert "weos" not in answer


def test_joules_are_told_with_what_they_are_worth() -> None:
    energy = metrics().energy.model_copy(
        update={"kind": "attributed", "source": "rapl", "attributed_j": 2.5, "share": 0.5, "rel_uncertainty": 0.1}
    )
    made = outcome("Hi", metrics=metrics(energy=energy.model_copy(update={"reason": None})))
    told = json.loads(from_outcome(asked(), made, CREATED).json_bytes())["usage"]["energy"]
    assert told == {
        "joules": 2.5,
        "kind": "attributed",
        "source": "rapl",
        "uncertainty": 0.1,
        "share": 0.5,
        "reason": None,
    }


def test_the_engines_own_account_comes_when_asked_for() -> None:
    answer = from_outcome(asked(include_execution=True), outcome("Hi"), CREATED)
    assert answer.weos["execution_id"] == "exec-1"
    assert answer.weos["record"]["logits_digest"] == "d" * 32


def test_an_execution_that_failed_is_no_answer() -> None:
    with pytest.raises(InternalError, match="out of luck"):
        from_outcome(asked(), outcome("Hi", stop="error", error="out of luck"), CREATED)


def test_chunks_begin_with_the_role_and_end_with_an_empty_delta() -> None:
    role, text, end, done = streamed(asked(), accepted(), tokens("Hi"), finished("Hi", stop="max_tokens"))
    assert [chunk["choices"][0]["delta"] for chunk in (role, text, end)] == [
        {"role": "assistant", "content": None},
        {"content": "Hi"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in (role, text, end)] == [None, None, "length"]
    assert len({chunk["id"] for chunk in (role, text, end)}) == 1
    assert all("usage" not in chunk for chunk in (role, text, end))
    assert done == "[DONE]"


def test_usage_comes_last_without_choices_and_only_when_asked_for() -> None:
    *_, last, done = streamed(asked(stream_options={"include_usage": True}), accepted(), tokens("Hi"), finished("Hi"))
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2
    assert done == "[DONE]"


def test_choices_are_told_apart_by_their_index() -> None:
    messages = (accepted(n=2), tokens("A", 0), tokens("B", 1), finished("A", "B"))
    chunks = streamed(asked(n=2), *messages)[:-1]
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 0, 1, 0, 1]


def test_log_probabilities_name_their_tokens_by_text() -> None:
    request = asked(logprobs=True, top_logprobs=1)
    message = tokens("é", logprobs=(drawn(7, -0.5, t8=-1.5),))
    _, chunk, *_ = streamed(request, accepted(), message, finished("é"), pieces={7: "é", 8: "e"})
    assert chunk["choices"][0]["logprobs"]["content"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [0xC3, 0xA9],
            "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [0x65]}],
        }
    ]
    assert to_run_request(request, "tiny").execution.logprobs == 1


def test_a_stream_that_fails_says_so_in_an_event() -> None:
    stream = ChatStream(asked(), BUILD, CREATED)
    (told,) = read_events(stream.fail(HttpFault(503, "shutting_down", "the engine is stopping")))
    assert told["error"]["code"] == "shutting_down"
