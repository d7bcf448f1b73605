"""The documents' contract over HTTP: their request in, their account out, and every message of the socket."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.shape import parse_json
from protocol.dialects.weos import ROUTES, Route, account, answer, error_frame, frame, stream_form, to_message
from protocol.errors import InvalidRequest, UnknownModel
from protocol.requests import AskedMessage, CompareExecutions, Hello, ListExecutions, Run, Subscribe, Unsubscribe
from tests.protocol.dialects.messages_factory import finished, record, tokens
from tests.protocol.dialects.sse_reader import SseReader

DOCUMENTED = {
    "model": "llama3-8b",
    "prompt": "Explique inferência eficiente",
    "execution": {
        "backend": "cpu_avx2",
        "quantization": "q4_k_m",
        "scheduler_policy": "default",
        "limits": {"max_tokens": 256, "max_watts": 25},
    },
}
"""The documents' own example, to the letter."""


def route(path: str) -> Route:
    return next(one for one in ROUTES if one.path == path)


def test_the_documents_request_is_taken_as_it_is() -> None:
    message = to_message(route("/run"), DOCUMENTED, {}, ())
    assert isinstance(message, Run)
    assert message.request.execution.limits.max_watts == 25.0


def test_the_account_has_the_documents_fields_on_top_and_the_rest_under_record() -> None:
    told = account(record("Olá"))
    assert list(told) == [
        "execution_id",
        "engine_version",
        "model",
        "backend",
        "quantization",
        "result",
        "metrics",
        "record",
    ]
    assert told["metrics"]["tokens"] == told["metrics"]["tokens_total"] == 2
    assert told["metrics"]["watts_avg"] is None
    assert told["record"]["stop_reason"] == "eos"
    assert not told.keys() - {"record"} & told["record"].keys()


def test_every_message_of_the_socket_has_a_route() -> None:
    assert {one.kind for one in ROUTES} == set(get_args(AskedMessage)) - {Hello, Unsubscribe}
    assert len({(one.method, one.path) for one in ROUTES}) == len(ROUTES)


def test_fields_come_from_path_query_and_body() -> None:
    message = to_message(route("/executions"), {}, {}, (("limit", "5"), ("model", "tiny")))
    assert isinstance(message, ListExecutions)
    assert (message.limit, message.wanted.model) == (5, "tiny")
    observed = to_message(route("/events"), {}, {}, (("kinds", "accepted,ended"), ("after", "0")))
    assert isinstance(observed, Subscribe)
    assert (observed.wanted.kinds, observed.after) == (("accepted", "ended"), 0)


@pytest.mark.parametrize("name", ["differing", "experiment"])
def test_the_fields_that_may_differ_are_an_array_under_either_name(name: str) -> None:
    message = to_message(route("/compare"), {"a": "e1", "b": "e2", name: ["quantization"]}, {}, ())
    assert message == CompareExecutions(request_id=0, a="e1", b="e2", differing=("quantization",))


@pytest.mark.parametrize(
    ("path", "body", "query"),
    [
        ("/run", {"model": "tiny"}, ()),
        ("/run", {**DOCUMENTED, "colour": "red"}, ()),
        ("/run", DOCUMENTED, (("model", "other"),)),
        ("/tokenize", {"model": "tiny", "text": "a", "extra": 1}, ()),
        ("/tokenize", {"model": "tiny", "text": "a"}, (("text", "b"),)),
        ("/executions", {}, (("limit", "many"),)),
        ("/executions", {}, (("limit", "1"), ("limit", "2"))),
    ],
)
def test_what_the_contract_does_not_have_is_refused(
    path: str, body: dict[str, Any], query: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(InvalidRequest):
        to_message(route(path), body, {}, query)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", None),
        ("application/json", None),
        ("text/event-stream", "sse"),
        ("text/html, Text/Event-Stream;q=0.5", "sse"),
        ("application/x-ndjson", "ndjson"),
    ],
)
def test_the_accept_header_says_how_an_answer_is_streamed(accept: str, form: str | None) -> None:
    assert stream_form(accept) == form


def test_a_frame_says_its_type_in_both_forms() -> None:
    reader = SseReader()
    reader.feed(frame("sse", tokens("a\nb")))
    assert reader.names == ["Tokens"]
    line = frame("ndjson", tokens("a\nb"))
    assert json.loads(line) == json.loads(reader.events[0])
    assert (line.count(b"\n"), json.loads(line)["text"]) == (1, "a\nb")
    assert "request_id" not in json.loads(line)


def test_the_last_frame_is_the_account_and_an_error_is_the_sockets() -> None:
    last = json.loads(frame("ndjson", finished("Olá")))
    assert (last["type"], last["result"]) == ("Finished", "Olá")
    failed = json.loads(error_frame("ndjson", UnknownModel("no such", model="x")))
    assert failed == {"type": "Failed", "code": "unknown_model", "message": "no such", "params": {"model": "x"}}


def test_what_could_not_be_kept_is_said() -> None:
    message = finished("Olá").model_copy(update={"unrecorded": "the disk is full"})
    assert answer(message)["unrecorded"] == "the disk is full"


@given(st.binary(max_size=200))
def test_a_body_is_an_object_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(parse_json(body), dict)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"a": NaN}', b"[" * 100_000, b'"text"', b'{"a": "\\ud800"}'])
def test_no_object_of_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"model": "tiny", "model": "/models/other.gguf"}', "model"),
        (b'{"a": [{"b": {"c": 1, "d": 2, "c": 1}}]}', "c"),
        (b'{"max": 1, "m\\u0061x": 2}', "max"),
    ],
)
def test_a_name_that_is_there_twice_is_refused(body: bytes, field: str) -> None:
    with pytest.raises(InvalidRequest, match="twice") as refused:
        parse_json(body)
    assert refused.value.params["field"] == field


def test_numbers_may_have_any_number_of_digits() -> None:
    assert parse_json(b'{"a": ' + b"1" * 4000 + b', "b": {"a": 1.5}}')["b"] == {"a": 1.5}


def test_an_empty_body_is_an_empty_object() -> None:
    assert parse_json(b"") == {}
