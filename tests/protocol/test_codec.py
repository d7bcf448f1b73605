"""Messages on the wire, and that they come back as they were."""

from __future__ import annotations

from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.answers import EngineMessage, Event, Failed, Finished, ModelDescription, Tokens
from protocol.chat import ChatMessage
from protocol.codec import client_message, decode_client, decode_engine, encode, encode_request
from protocol.errors import BadFrame, InvalidRequest
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
from tests.protocol.run_content import VALID_RUN, run_with

DRAWN = DrawnLogprobs(token_id=1, logprob=-0.5, top=(TokenLogprob(token_id=1, logprob=-0.5),))


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


def test_the_fields_that_may_differ_are_known_by_their_earlier_name_too() -> None:
    asked = {"type": "CompareExecutions", "request_id": 1, "a": "e1", "b": "e2"}
    named = [decode_client(msgpack.packb(asked | {name: ["threads"]})) for name in ("differing", "experiment")]
    assert named == [CompareExecutions(request_id=1, a="e1", b="e2", differing=("threads",))] * 2
    with pytest.raises(InvalidRequest):
        decode_client(msgpack.packb(asked | {"differing": ["threads"], "experiment": ["threads"]}))


def test_a_request_of_any_unicode_is_sent_as_it_is() -> None:
    run = Run(request_id=7, request=RunRequest(model="tiny", prompt="é😀\0\ufffd"))
    assert decode_client(encode_request(run)) == run
