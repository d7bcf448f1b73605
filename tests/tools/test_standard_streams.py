"""Standard streams that are closed, full, or of a strange encoding end no command in a traceback."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.requests import Shutdown
from tests.requirements.execution import make_request
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import PROGRAM
from tests.tools.conftest import StartEngine
from tests.tools.executions import PIECES, answers_in_full


def in_shell(redirection: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'"$@" {redirection}', "sh", *PROGRAM, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, check=False)  # noqa: S603


@pytest.mark.parametrize("command", [("--help",), ("schema", "plan"), ("--version",)])
def test_a_full_stdout_is_one_line(command: tuple[str, ...]) -> None:
    done = in_shell(">/dev/full", *command)
    assert done.returncode == 1
    assert done.stderr == b"error: standard output: No space left on device\n"


def test_an_answer_that_cannot_be_written_is_one_line(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    arguments = ("run", "--socket", str(socket_path), "tiny", "--prompt", "a")
    done = in_shell(">/dev/full", *arguments)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")
    assert in_shell(">/dev/full", *arguments, "--json").returncode == 1


def test_a_reader_that_goes_early_is_no_error() -> None:
    done = in_shell("| head -c 1", "schema", "plan")
    assert (done.stdout, done.stderr) == (b"{", b"")


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_if_they_were_empty(
    redirection: str, start_engine: StartEngine, socket_path: Path
) -> None:
    start_engine(answers_in_full)
    arguments = ("run", "--socket", str(socket_path), "tiny", "--prompt", "a")
    done = in_shell(redirection, *arguments)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_without_stdin_there_is_nothing_to_answer(socket_path: Path) -> None:
    done = in_shell("<&-", "run", "--socket", str(socket_path), "tiny")
    assert done.returncode == 2
    assert b"There is nothing to answer" in done.stderr


@pytest.mark.parametrize(
    "environment", [{"LANG": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
@pytest.mark.parametrize("command", [("--help",), ("run", "--help"), ("energy", "sources"), ("models", "--help")])
def test_a_poor_locale_shows_everything(environment: dict[str, str], command: tuple[str, ...]) -> None:
    done = in_shell("", *command, **environment)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_an_answer_in_a_poor_locale(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    poor = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_shell("", "run", "--socket", str(socket_path), "tiny", "--prompt", "a", **poor)
    assert done.returncode == 0
    assert done.stdout.decode("ascii") == "".join(PIECES).encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("columns", ["40", "80"])
@pytest.mark.parametrize("command", [(), ("run",), ("models",), ("serve",)])
def test_help_is_as_narrow_as_the_terminal(command: tuple[str, ...], columns: str) -> None:
    shown = in_shell("", *command, "--help", COLUMNS=columns).stdout.decode().splitlines()
    too_long = [line for line in shown if len(line) > int(columns) and len(line.split()) > 2]
    assert [line for line in too_long if "smollm2" not in line] == []


def test_figures_begin_a_line_where_both_streams_are_one_file(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    arguments = ("run", "--socket", str(socket_path), "tiny", "--prompt", "a")
    answer = "".join(PIECES).encode()
    assert in_shell("2>&1", *arguments).stdout.startswith(answer + b"\n")
    assert in_shell("2>&1", *arguments, "-q").stdout == answer
    assert in_shell("", *arguments).stdout == answer


def test_an_engine_whose_log_nobody_reads_goes_on(socket_path: Path, tmp_path: Path) -> None:
    tiny = write_tiny_model(tmp_path / "tiny.gguf")
    unread, log = os.pipe()
    serve = [*PROGRAM, "serve", "--log-level", "info", "--socket", str(socket_path)]
    with subprocess.Popen(serve, stderr=log) as engine:  # noqa: S603
        try:
            while not os.read(unread, 1 << 16).endswith(b"\n"):
                pass
            os.set_blocking(log, False)
            with suppress(BlockingIOError):
                while os.write(log, bytes(1 << 10)):
                    pass
            os.set_blocking(log, True)
            with BlockingClient.connect(socket_path, timeout=60) as client:
                for _ in range(3):
                    list(client.run(make_request().model_copy(update={"model": str(tiny)})))
                client.ask(Shutdown())
            assert engine.wait(60) == 0
        finally:
            engine.kill()
            os.close(unread)
            os.close(log)
