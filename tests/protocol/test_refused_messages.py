"""Messages that are refused: how, and with which field and reason."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.answers import Failed
from protocol.chat import ChatMessage
from protocol.codec import client_message, decode_client, decode_engine, encode, encode_request, failed, request_id_of
from protocol.errors import BadFrame, InvalidRequest, Overloaded, ProtocolViolation, UnknownMessage
from protocol.plan import RunRequest
from protocol.requests import (
    Run,
)
from tests.protocol.run_content import VALID_RUN, run_with


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        (VALID_RUN | {"request": {"model": "tiny"}}, "request", "exactly one of"),
        (
            VALID_RUN | {"request": {"prompt": "x"}},
            "request.model",
            "Value error, give a model, or a plan that names one",
        ),
        (VALID_RUN | {"extra": 1}, "extra", "Extra inputs"),
        (run_with(quantisation="native"), "request.execution.quantisation", "Extra inputs"),
        (run_with(limits={"max_tokens": -1}), "request.execution.limits.max_tokens", "greater than or equal to 1"),
        (run_with(limits={"max_tokens": "8"}), "request.execution.limits.max_tokens", "valid integer"),
        (run_with(limits={"max_tokens": True}), "request.execution.limits.max_tokens", "valid integer"),
        (run_with(limits={"max_watts": float("nan")}), "request.execution.limits.max_watts", "finite"),
        (run_with(limits={"max_watts": float("inf")}), "request.execution.limits.max_watts", "finite"),
        (run_with(backend=5), "request.execution.backend", "valid string"),
        (run_with(stop={"strings": ["", "a"]}), "request.execution.stop.strings.0", "at least 1 character"),
        ({"type": "Tokenize", "request_id": 7, "model": "m"}, "text", "Field required"),
        ({"type": "Status", "request_id": -1}, "request_id", "greater than or equal to 0"),
    ],
)
def test_an_invalid_request_names_field_and_reason(content: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refused:
        decode_client(msgpack.packb(content))
    assert refused.value.params["field"] == field
    assert reason in refused.value.params["reason"]


def test_allowed_values_are_listed_where_they_can_be() -> None:
    content = run_with(limits={"max_watts": 5.0, "on_max_watts": "explode"})
    with pytest.raises(InvalidRequest) as refused:
        client_message(content)
    assert refused.value.params["allowed"] == "'stop' or 'throttle'"


def test_many_faults_are_told_in_one_bounded_error() -> None:
    with pytest.raises(InvalidRequest, match="and 95 more") as refused:
        client_message({"type": "Status", "request_id": 1, **{f"x{n}" * 100: "y" * 1000 for n in range(100)}})
    assert len(refused.value.message) < 2000


def experiment_with(**fields: Any) -> dict[str, Any]:
    plan = {"model": "tiny"}
    content = {"baseline": plan, "candidates": [plan], "workload": [{"prompt": "a"}], **fields}
    return {"type": "Experiment", "request_id": 1, **content}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (experiment_with(candidates=[{"model": "tiny", "threads": 0}]), "candidates.0.threads: "),
        (experiment_with(candidates=[{}]), "candidates.0: Value error, a plan names its 'model', or its 'model_ref'"),
        (experiment_with(candidates=[{"model": "tiny", "open": 1}]), "candidates.0.open: "),
        (experiment_with(workload=[{"prompt": 5}]), "workload.0.prompt: "),
        (experiment_with(workload=[]), "workload: Tuple should have at least 1 item"),
        (
            {"type": "Run", "request_id": 1, "request": {"plan": {"model": "tiny", "threads": 0}, "prompt": "a"}},
            "request.plan.threads: ",
        ),
    ],
)
def test_a_fault_is_told_once_and_by_the_clients_own_words(content: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client_message(content)
    assert refused.value.message.startswith(told)
    assert "; " not in refused.value.message


@pytest.mark.parametrize("name", ["Tokens", "Nothing", "", None, 5, ["Run"]])
def test_an_unknown_type_is_an_unknown_message(name: object) -> None:
    with pytest.raises(UnknownMessage):
        client_message({"type": name, "request_id": 1})


@pytest.mark.parametrize(
    ("content", "request_id"),
    [({"request_id": 7}, 7), ({}, None), ({"request_id": -1}, None), ({"request_id": True}, None)],
)
def test_a_refusal_is_addressed_where_the_id_can_be_told(content: dict[str, Any], request_id: int | None) -> None:
    assert request_id_of(content) == request_id


def test_errors_travel_with_code_and_params() -> None:
    message = failed(7, Overloaded("full", retry_after_ms=30))
    assert (message.code, message.params) == ("overloaded", {"retry_after_ms": 30})


def test_what_msgpack_cannot_hold_does_not_stop_an_error_from_being_told() -> None:
    message = Failed(request_id=1, code="unknown_model", message="no \udcff.gguf", params={"path": object()})
    told = decode_engine(encode(message))
    assert isinstance(told, Failed)
    assert told.message == "no \\udcff.gguf"


@given(payload=st.binary(max_size=300))
def test_garbage_is_never_more_than_a_typed_refusal(payload: bytes) -> None:
    try:
        decode_client(payload)
    except (ProtocolViolation, UnknownMessage, InvalidRequest):
        return


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_one_wrong_byte_in_a_run_is_never_more_than_a_typed_refusal(position: int, value: int) -> None:
    payload = bytearray(msgpack.packb(VALID_RUN))
    payload[position % len(payload)] = value
    try:
        decode_client(bytes(payload))
    except (BadFrame, UnknownMessage, InvalidRequest):
        return


@pytest.mark.parametrize(
    ("request_", "field", "offset"),
    [
        (RunRequest(model="tiny", prompt="h\udcff"), "request.prompt", 1),
        (RunRequest(model="tiny", messages=(ChatMessage(role="user", content="A\ud800B"),)),
         "request.messages.0.content", 1),
    ],
)  # fmt: skip
def test_a_request_whose_text_is_no_unicode_is_refused_with_its_place(
    request_: RunRequest, field: str, offset: int
) -> None:
    with pytest.raises(InvalidRequest, match="is no Unicode") as refused:
        encode_request(Run(request=request_))
    assert (refused.value.params["field"], refused.value.params["offset"]) == (field, offset)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "Detokenize", "request_id": 1, "model": "m", "token_ids": ["a"] * 60_000},
        {"type": "Run", "request_id": 1, "request": {"model": "m", "messages": [{}] * 1000}},
        {"type": "VerifyCached", "request_id": 1, "names": [1] * 200_000},
    ],
)
def test_of_a_sequence_the_first_wrong_element_is_told_and_no_other(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"\.0") as refused:
        decode_client(msgpack.packb(content))
    assert ".1:" not in refused.value.message
    assert "more" not in refused.value.message


@pytest.mark.parametrize(
    "moment",
    [
        *("2020-13-45T99:99:99.000000Z", "0000-00-00T00:00:00.000000Z", "2021-02-29T00:00:00.000000Z"),
        *(
            "\uff12020-01-01T00:00:00.000000Z",
            "2020-01-01T24:00:00.000000Z",
            "2020-01-01T00:00:00.000000Z\n",
            "2020-01-01",
        ),
    ],
)
def test_a_moment_that_never_was_is_refused_before_anybody_looks_for_it(moment: str) -> None:
    for asked in ({"recorded_before": moment}, {"wanted": {"since": moment}}, {"wanted": {"until": moment}}):
        kind = "PruneRecords" if "recorded_before" in asked else "ListExecutions"
        with pytest.raises(InvalidRequest):
            client_message({"type": kind, "request_id": 1, **asked})
