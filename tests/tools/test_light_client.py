"""The client that builds no schema, against a socket that answers from a script; and its view of every message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from protocol.answers import Done, Finished, Progress
from protocol.codec import encode
from protocol.errors import BadFrame, EngineUnreachable, InvalidRequest, UnknownModel
from protocol.light_client import LightClient
from protocol.message import Answer
from protocol.requests import Cancel, Run
from protocol.run_view import ShownAccepted, ShownFinished, ShownMessage, ShownTokens
from tests.tools.conftest import StartEngine
from tests.tools.executions import accepted, advised, answers_in_full, make_record, refusing, tokens


def test_a_run_is_told_as_it_goes(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    with LightClient.connect(socket_path) as client:
        told = list(client.run({"model": "tiny", "prompt": "a"}))
        whole = client.finished()
    assert isinstance(told[0], ShownAccepted)
    assert [each.text for each in told if isinstance(each, ShownTokens)] == ["Olá", " mundo", " 🌍"]
    end = told[-1]
    assert isinstance(end, ShownFinished)
    assert (end.record.result, end.record.metrics.tokens_total) == ("Olá mundo 🌍", 3)
    assert whole.record == make_record()
    assert len(engine.requests(Run)) == 1


def test_a_refusal_is_the_error_that_it_stands_for(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(refusing(UnknownModel("no model 'x'", model="x")))
    with LightClient.connect(socket_path) as client, pytest.raises(UnknownModel) as refused:
        client.advice("x")
    assert refused.value.params == {"model": "x"}


def test_another_answer_than_the_one_asked_for_is_a_broken_protocol(
    start_engine: StartEngine, socket_path: Path
) -> None:
    start_engine(lambda message: [Done(request_id=1)] if isinstance(message, Run) else [])
    with LightClient.connect(socket_path) as client, pytest.raises(BadFrame):
        list(client.run({"model": "tiny", "prompt": "a"}))


def test_a_text_that_is_no_unicode_is_refused_by_its_field(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    with (
        LightClient.connect(socket_path) as client,
        pytest.raises(InvalidRequest, match=r"request\.prompt is no Unicode"),
    ):
        list(client.run({"model": "tiny", "prompt": "a\udc80"}))
    assert engine.requests(Run) == []


def test_a_cancellation_awaits_no_answer(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    with LightClient.connect(socket_path) as client:
        client.cancel("execution-1")
        assert client.advice("tiny").chat_template
    assert [each.execution_id for each in engine.requests(Cancel)] == ["execution-1"]


def test_where_nothing_listens_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match=r"start one: engine-ctl serve --socket .*nowhere"):
        LightClient.connect(tmp_path / "nowhere")
    with pytest.raises(EngineUnreachable, match="at most 107"):
        LightClient.connect(tmp_path / ("x" * 120))


@pytest.mark.parametrize(
    "message",
    [
        accepted(1),
        tokens(1, 7, "a"),
        Progress(request_id=1, stage="loading", done=1, total=None),
        Finished(request_id=1, record=make_record()),
        advised(1, sampling={"temperature": 0.5}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_shown_is_what_was_sent(message: Answer) -> None:
    shown = msgspec.msgpack.Decoder(ShownMessage).decode(encode(message))
    for field in shown.__struct_fields__:
        sent = getattr(message, field)
        assert field in {"record", "plan"} or getattr(shown, field) == sent
