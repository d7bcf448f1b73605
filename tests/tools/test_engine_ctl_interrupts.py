"""Interrupts of `engine-ctl run`: the first cancels and waits, the second does not."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_ctl.execution import follow
from protocol.answers import Done, EngineMessage, Finished
from protocol.blocking import BlockingClient
from protocol.plan import RunRequest
from protocol.progress import StageProgress
from protocol.requests import Cancel, ClientMessage, Run
from tests.tools.command_line import start_engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import EXECUTION_ID, PIECES, accepted, answers_in_full, make_record, tokens

TINY_REQUEST = RunRequest(model="tiny", prompt="a")


def answers_until_cancelled(message: ClientMessage) -> Sequence[EngineMessage]:
    match message:
        case Run():
            return [accepted(message.request_id), tokens(message.request_id, 7, PIECES[0])]
        case Cancel(execution_id=execution_id):
            assert execution_id == EXECUTION_ID
            record = make_record(stop_reason="cancelled", result=PIECES[0], token_ids=(7,))
            return [Done(request_id=message.request_id), Finished(request_id=1, record=record)]
        case _:
            raise AssertionError(message)


def test_ctrl_c_cancels_and_still_tells_what_was_done(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_until_cancelled)
    with start_engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stdout = process.stdout.read(len(PIECES[0]))
        process.send_signal(signal.SIGINT)
        stdout += process.stdout.read()
        stderr = process.stderr.read()
    assert process.returncode == 130
    assert stdout == PIECES[0]
    assert stderr == "3 tokens · first after 0.01 s · no power meter · cancelled\n"


def no_progress(progress: StageProgress) -> None:
    raise AssertionError(progress)


def test_the_first_interrupt_cancels_and_awaits_the_record(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_until_cancelled)
    with BlockingClient.connect(socket_path) as client:
        record = follow(
            client, client.run(TINY_REQUEST), lambda text: signal.raise_signal(signal.SIGINT), no_progress
        ).record
    assert record.stop_reason == "cancelled"
    assert len(engine.requests(Cancel)) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interrupts_ignored")
def test_interrupts_that_this_process_was_started_to_ignore_cancel_nothing(
    start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    with BlockingClient.connect(socket_path) as client:
        messages = client.run(TINY_REQUEST)
        record = follow(client, messages, lambda text: signal.raise_signal(signal.SIGINT), no_progress).record
    assert record.stop_reason == "max_tokens"
    assert engine.requests(Cancel) == []
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_the_second_interrupt_does_not_wait(start_engine: StartEngine, socket_path: Path) -> None:
    def interrupts_twice(text: str) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    start_engine(answers_until_cancelled)
    with BlockingClient.connect(socket_path) as client, pytest.raises(KeyboardInterrupt):
        follow(client, client.run(TINY_REQUEST), interrupts_twice, no_progress)
