"""What a model said reaches stdout as it is, whatever stdout is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.answers import EngineMessage, Finished
from protocol.record import ChoiceRecord
from protocol.requests import ClientMessage, Run
from tests.tools.command_line import PROGRAM, engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import accepted, answers_in_full, make_record, tokens

COLOURED = ("\x1b[31mred\x1b[0m", "\x1b[2K", " \x1b]0;title\x07\r\n", "\x00")


def coloured(message: ClientMessage) -> Sequence[EngineMessage]:
    if not isinstance(message, Run):
        return []
    request_id = message.request_id
    text = "".join(COLOURED)
    other = ChoiceRecord(result=text, token_ids=(7,), logits_digest="0" * 32, stop_reason="max_tokens")
    record = make_record(result=text, other_choices=(other,))
    said = [tokens(request_id, 7, piece) for piece in COLOURED]
    return [accepted(request_id), *said, Finished(request_id=request_id, record=record)]


def test_control_sequences_of_a_terminal_stay_in_the_text(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(coloured)
    result = engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a")
    text = "".join(COLOURED)
    assert result.stdout_bytes == f"{text}\n[2] {text}\n".encode()


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "Olá mundo 🌍".encode()),
        ("latin-1", "Olá mundo ".encode("latin-1") + rb"\U0001f30d"),
        ("cp1252", "Olá mundo ".encode("cp1252") + rb"\U0001f30d"),
    ],
)
def test_what_the_encoding_of_stdout_lacks_is_shown_as_an_escape(
    start_engine: StartEngine, socket_path: Path, encoding: str, shown: bytes
) -> None:
    start_engine(answers_in_full)
    arguments = ("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = subprocess.run([*PROGRAM, *arguments], env=environment, capture_output=True, check=False)  # noqa: S603
    assert (result.returncode, result.stdout) == (0, shown)
