"""OpenAI's completions: prompts of every kind, and the choices that come of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.answer_checks import RunMessage
from protocol.dialects.openai.completions import (
    CompletionRequest,
    CompletionStream,
    from_outcomes,
    to_run_requests,
)
from protocol.dialects.outcome import Outcome
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from tests.protocol.dialects.messages_factory import BUILD, CREATED, accepted, drawn, finished, outcome, record, tokens
from tests.protocol.dialects.sse_reader import read_events


def asked(**fields: Any) -> CompletionRequest:
    return read(CompletionRequest, {"prompt": "Hello", **fields})


@pytest.mark.parametrize(
    ("prompt", "inputs"),
    [
        ("Hello", [("Hello", None)]),
        ("", [("", None)]),
        (["Hello", "you"], [("Hello", None), ("you", None)]),
        ([1, 2], [(None, (1, 2))]),
        ([[1, 2], [3]], [(None, (1, 2)), (None, (3,))]),
    ],
)
def test_each_prompt_is_an_execution(prompt: object, inputs: list[tuple[Any, Any]]) -> None:
    requests = to_run_requests(asked(prompt=prompt), "tiny")
    assert [(one.prompt, one.prompt_token_ids) for one in requests] == inputs


@pytest.mark.parametrize(
    "fields",
    [{"prompt": []}, {"prompt": None}, {"prompt": [[]]}, {"prompt": [-1]}, {"suffix": "x"}, {"prompt": ["x"] * 129}],
)
def test_what_cannot_be_continued_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        to_run_requests(asked(**fields), "tiny")


def test_log_probabilities_of_a_prompt_are_refused_and_not_made_up() -> None:
    with pytest.raises(InvalidRequest, match="echo"):
        to_run_requests(asked(echo=True, logprobs=0), "tiny")


def test_the_defaults_are_the_dialects() -> None:
    (request,) = to_run_requests(asked(), "tiny")
    assert (request.execution.limits.max_tokens, request.execution.sampling.temperature) == (16, 1.0)
    assert request.execution.logprobs is None


def test_choices_of_several_prompts_follow_one_another() -> None:
    answer = from_outcomes(asked(prompt=["a", "b"], n=2), [outcome("1", "2"), outcome("3", "4")], CREATED)
    assert [(one.index, one.text) for one in answer.choices] == [(0, "1"), (1, "2"), (2, "3"), (3, "4")]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 6


def test_an_echo_begins_with_the_prompt_of_its_own_choice() -> None:
    answer = from_outcomes(asked(prompt=["a", "b"], echo=True), [outcome("1"), outcome("2")], CREATED)
    assert [one.text for one in answer.choices] == ["a1", "b2"]


def test_log_probabilities_have_the_token_drawn_and_where_it_begins() -> None:
    messages = (tokens("ab", logprobs=(drawn(7, -0.5, t8=-0.25),)), tokens("c", logprobs=(drawn(8, -1.0, t8=-1.0),)))
    made = Outcome(accepted(), messages, record("abc"), {7: "ab", 8: "c"})
    (choice,) = from_outcomes(asked(logprobs=1), [made], CREATED).choices
    assert choice.logprobs is not None
    assert json.loads(choice.logprobs.json_bytes()) == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{"ab": -0.5, "c": -0.25}, {"c": -1.0}],
        "text_offset": [0, 2],
    }


def test_chunks_of_several_prompts_share_an_id_and_one_end() -> None:
    stream = CompletionStream(asked(prompt=["a", "b"], stream_options={"include_usage": True}), BUILD, CREATED)
    sent = [stream.feed(index, accepted(), {}) for index in (0, 1)]
    sent += [stream.feed(1, tokens("2"), {}), stream.feed(0, tokens("1"), {})]
    sent += [stream.feed(index, finished(str(index + 1)), {}) for index in (1, 0)]
    *chunks, last, done = read_events(b"".join(sent) + stream.end())
    assert [(one["choices"][0]["index"], one["choices"][0]["text"]) for one in chunks] == [
        (1, "2"),
        (0, "1"),
        (1, ""),
        (0, ""),
    ]
    assert len({one["id"] for one in [*chunks, last]}) == 1
    assert last["usage"]["completion_tokens"] == 4
    assert done == "[DONE]"


def test_offsets_go_on_from_chunk_to_chunk() -> None:
    stream = CompletionStream(asked(logprobs=0), BUILD, CREATED)
    pieces = {7: "ab"}
    message = tokens("ab", logprobs=(drawn(7, -0.5),))
    messages: tuple[RunMessage, ...] = (accepted(), message, message)
    chunks = read_events(b"".join(stream.feed(0, one, pieces) for one in messages))
    assert [one["choices"][0]["logprobs"]["text_offset"] for one in chunks] == [[0], [2]]
