from __future__ import annotations

from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.answers import EngineMessage, Event, Failed, Finished, ModelDescription, Tokens
from protocol.chat import ChatMessage
from protocol.codec import client_message, decode_client, decode_engine, encode, encode_request, failed, request_id_of
from protocol.errors import BadFrame, InvalidRequest, Overloaded, ProtocolViolation, UnknownMessage
from protocol.evaluation import EvaluationRequest
from protocol.events import TokensEvent
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.record_entry import RecordFilter
from protocol.requests import (
    PROTOCOL_VERSION,
    Cancel,
    ClientMessage,
    CompareExecutions,
    Detokenize,
    Hello,
    Quantize,
    Run,
    Status,
    Tokenize,
)
from protocol.summaries import RecipeSummary, TensorSummary
from protocol.value import unvalidated
from tests.engine.record_factory import record_with

DRAWN = DrawnLogprobs(token_id=1, logprob=-0.5, top=(TokenLogprob(token_id=1, logprob=-0.5),))
VALID_RUN: dict[str, Any] = {
    "type": "Run",
    "request_id": 7,
    "request": {
        "model": "tiny",
        "prompt": "abc",
        "execution": {
            "backend": "reference",
            "quantization": "native",
            "scheduler_policy": "default",
            "limits": {"max_tokens": 8, "max_watts": 25},
        },
    },
}


def run_with(**execution: object) -> dict[str, Any]:
    return VALID_RUN | {"request": VALID_RUN["request"] | {"execution": execution}}


@pytest.mark.parametrize(
    "message",
    [
        Hello(protocol_version=PROTOCOL_VERSION),
        Status(request_id=2**63 - 1),
        Cancel(request_id=0, execution_id="exec-1"),
        Detokenize(request_id=1, model="tiny", token_ids=(1, 2, 3)),
        Tokenize(request_id=1, model="tiny", text="né 🙂 \x00"),
        Run(
            request_id=1,
            request=RunRequest(
                model="tiny",
                messages=(ChatMessage(role="user", content="hi"),),
                execution=ExecutionRequest(limits=Limits(max_watts=25.5), stop=Stop(strings=("a", "b"))),
            ),
        ),
    ],
)
def test_client_messages_survive_the_wire(message: ClientMessage) -> None:
    assert decode_client(encode(message)) == message


def test_names_of_quantizations_may_be_written_in_capitals_wherever_one_is_asked_for() -> None:
    quantize = decode_client(encode(Quantize(request_id=1, model="tiny", output="/out.gguf", recipe="Q6_K")))
    assert isinstance(quantize, Quantize)
    assert quantize.recipe == "q6_k"
    run = decode_client(msgpack.packb(run_with(quantization="Q4_K_M")))
    assert isinstance(run, Run)
    assert run.request.execution.quantization == "q4_k_m"
    evaluation = EvaluationRequest(model="tiny", text="a", quantization="Q8_0", against="NATIVE")
    assert (evaluation.quantization, evaluation.against) == ("q8_0", "native")
    assert RecordFilter(quantization="Q4_K_M").quantization == "q4_k_m"


@pytest.mark.parametrize(
    "message",
    [
        Tokens(request_id=1, execution_id="exec-1", token_ids=(1, 2**31), text="é"),
        Failed(request_id=None, code="bad_frame", message="no", params={"allowed": ("a", "b"), "nested": {"n": None}}),
        ModelDescription(
            request_id=1,
            name="tiny",
            path="/tiny.gguf",
            size_bytes=1,
            gguf_version=3,
            architecture="llama",
            metadata={"a": 1, "b": 1.5, "c": True, "d": {"element_type": "str", "length": 3}},
            tensors=(TensorSummary(name="t", type="F32", shape=(2, 3), size_bytes=24),),
            parameters_total=6,
            recipes=(RecipeSummary(quantization="native", tensor_types={"F32": 1}, file_bytes=24, weights_bytes=24),),
            memory=None,
        ),
    ],
)
def test_engine_messages_survive_the_wire(message: EngineMessage) -> None:
    assert decode_engine(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Tokens(request_id=1, execution_id="exec-1", token_ids=(1,), text="a", logprobs=(DRAWN,)),
        Finished(request_id=1, record=record_with(), unrecorded="no"),
        Event(
            request_id=1,
            sequence=1,
            at="2026-11-29T00:00:00.000000Z",
            execution_id="exec-1",
            model="tiny",
            body=TokensEvent(tokens_total=1),
        ),
    ],
)
def test_a_message_is_encoded_as_pydantic_would_dump_it(message: EngineMessage) -> None:
    assert encode(message) == msgpack.packb(message.model_dump(), default=str)
    assert decode_engine(encode(message)) == message


def test_a_message_made_without_validation_is_like_any_other() -> None:
    made = unvalidated(Tokens)(request_id=1, execution_id="exec-1", token_ids=(1,), text="a")
    validated = Tokens(request_id=1, execution_id="exec-1", token_ids=(1,), text="a")
    assert made == validated
    assert hash(made) == hash(validated)
    assert made.model_dump() == validated.model_dump()
    assert decode_engine(encode(made)) == validated
    with pytest.raises(ValidationError, match="frozen"):
        made.text = "b"  # type: ignore[misc]  # that is what is tried


TOKENS: dict[str, Any] = {
    "type": "Tokens",
    "request_id": 7,
    "execution_id": "exec-1",
    "choice": 1,
    "token_ids": [1, 2],
    "text": "né",
}


@given(
    request_id=st.integers(0, 2**63 - 1),
    choice=st.integers(0, 100),
    token_ids=st.lists(st.integers(-(2**63), 2**63 - 1)),
    text=st.text(),
    tag_first=st.booleans(),
)
def test_tokens_are_the_same_whether_their_tag_comes_first_or_last(
    request_id: int, choice: int, token_ids: list[int], text: str, tag_first: bool
) -> None:
    """A tag that comes first is what selects the fast decoder."""
    fields = TOKENS | {"request_id": request_id, "choice": choice, "token_ids": token_ids, "text": text}
    content = fields if tag_first else dict(reversed(fields.items()))
    assert decode_engine(msgpack.packb(content)) == Tokens.model_validate(fields | {"token_ids": tuple(token_ids)})


def test_tokens_that_an_engine_writes_are_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = unvalidated(Tokens)(request_id=2**63 - 1, execution_id="exec-1", token_ids=(1,), text="a")
    first = {"type": "Tokens", **tokens.__dict__}
    monkeypatch.setattr("protocol.codec.unpack", pytest.fail)
    assert decode_engine(encode(tokens)) == decode_engine(msgpack.packb(first)) == tokens


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"request_id": -1}, "request_id: Input should be greater"),
        ({"request_id": True}, "request_id: Input should be a valid integer"),
        ({"token_ids": ["1"]}, "token_ids.0: Input should be a valid integer"),
        ({"token_ids": None}, "token_ids: Input should be a valid tuple"),
        ({"text": 5}, "text: Input should be a valid string"),
        ({"logprobs": [1]}, "logprobs.0: Input should be"),
    ],
)
def test_wrong_tokens_are_refused_with_their_field_and_reason(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        decode_engine(msgpack.packb(TOKENS | wrong))


def test_tokens_that_claim_more_than_they_hold_are_refused_before_memory_is_taken() -> None:
    whole = msgpack.packb({"type": "Tokens", "token_ids": 5})
    with pytest.raises(BadFrame, match="more elements than it has bytes"):
        decode_engine(whole[:-1] + b"\xdd\xff\xff\xff\xff")


def test_fields_that_only_a_later_engine_has_are_ignored_in_its_answers() -> None:
    finished = Finished(request_id=1, record=record_with(), unrecorded="no")
    content = msgpack.unpackb(encode(finished))
    for told in (content, content["record"], content["record"]["plan"], content["record"]["metrics"]):
        told["of_a_later_engine"] = {"nested": [1, None]}
    assert decode_engine(msgpack.packb(content)) == finished
    assert decode_engine(msgpack.packb(TOKENS | {"of_a_later_engine": 1})) == decode_engine(msgpack.packb(TOKENS))


def test_sequences_may_be_given_as_lists() -> None:
    ids: Any = [1, 2]  # the types say what comes of it
    strings: Any = ["a"]
    assert Detokenize(model="tiny", token_ids=ids).token_ids == (1, 2)
    request = RunRequest(model="tiny", prompt="x", execution=ExecutionRequest(stop=Stop(strings=strings)))
    assert decode_client(encode_request(Run(request_id=1, request=request))) == Run(request_id=1, request=request)
    with pytest.raises(ValidationError, match=r"token_ids\.1\n.*valid integer"):
        Detokenize.model_validate({"model": "tiny", "token_ids": [1, "2"]})


def test_every_message_is_tagged_with_its_own_name() -> None:
    for cls in (*get_args(ClientMessage), *get_args(EngineMessage)):
        assert cls.model_fields["type"].default == cls.__name__


def test_the_products_own_request_is_a_run() -> None:
    message = client_message(VALID_RUN)
    assert isinstance(message, Run)
    assert message.request.execution.limits.max_watts == 25.0


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


def test_the_fields_that_may_differ_are_known_by_their_earlier_name_too() -> None:
    asked = {"type": "CompareExecutions", "request_id": 1, "a": "e1", "b": "e2"}
    named = [decode_client(msgpack.packb(asked | {name: ["threads"]})) for name in ("differing", "experiment")]
    assert named == [CompareExecutions(request_id=1, a="e1", b="e2", differing=("threads",))] * 2
    with pytest.raises(InvalidRequest):
        decode_client(msgpack.packb(asked | {"differing": ["threads"], "experiment": ["threads"]}))


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


def test_a_request_of_any_unicode_is_sent_as_it_is() -> None:
    run = Run(request_id=7, request=RunRequest(model="tiny", prompt="é😀\0\ufffd"))
    assert decode_client(encode_request(run)) == run


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
