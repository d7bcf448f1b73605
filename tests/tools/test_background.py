"""An engine that a run starts and that goes on: in the background, or by the user's service manager."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.requests import Shutdown, Status
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import PROGRAM
from tests.tools.conftest import StartEngine
from tests.tools.executions import PIECES, answers_in_full


@pytest.fixture
def environment(tmp_path: Path, socket_path: Path) -> Iterator[dict[str, str]]:
    """Where the default socket is ours, and what listens there is stopped at the end."""
    folders = {f"ENGINE_{name}_DIR": str(tmp_path / name) for name in ("MODELS", "CACHE", "DATA")}
    runtime = socket_path.parent
    yield {**os.environ, **folders, "XDG_RUNTIME_DIR": str(runtime), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    left = runtime / "engine" / "engine.sock"
    if left.exists():
        with BlockingClient.connect(left) as client:
            client.ask(Shutdown())
        while left.exists():
            time.sleep(0.01)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, "run", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_an_engine_in_the_background_answers_the_next_run_too(environment: dict[str, str], tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    words = (model, "Why?", "--max-tokens", "4")
    first = run(environment, *words, "--background")
    assert first.returncode == 0, first.stderr
    assert "an engine goes on in the background, pid " in first.stderr
    second = run(environment, *words)
    assert "engine" not in second.stderr
    assert second.stdout == first.stdout
    with BlockingClient.connect(Path(environment["XDG_RUNTIME_DIR"]) / "engine" / "engine.sock") as client:
        status = client.ask(Status())
    assert f"pid {status.pid} " in first.stderr
    assert status.finished_total == 2


def test_an_engine_that_cannot_start_says_where_it_says_why(environment: dict[str, str], tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    refused = run({**environment, "ENGINE_MEMORY_MB": "none"}, model, "Why?", "--background")
    assert refused.returncode == 5
    log = Path(environment["XDG_RUNTIME_DIR"]) / "engine" / "engine.log"
    assert f"{log} says why" in refused.stderr
    assert "ENGINE_MEMORY_MB" in log.read_text()


def test_a_service_manager_that_has_the_unit_is_asked_first(
    environment: dict[str, str], tmp_path: Path, start_engine: StartEngine, socket_path: Path
) -> None:
    """One of its own, which puts an engine's socket where it belongs."""
    start_engine(answers_in_full)
    runtime, programs = socket_path.parent, tmp_path / "bin"
    (runtime / "systemd").mkdir()
    (runtime / "systemd" / "private").touch()
    unit = tmp_path / "config" / "systemd" / "user" / "engine.socket"
    unit.parent.mkdir(parents=True)
    unit.touch()
    programs.mkdir()
    systemctl = programs / "systemctl"
    systemctl.write_text(
        f'#!/bin/sh\n[ "$*" = "--user start engine.socket" ] && mkdir {runtime}/engine && '
        f"ln -s {socket_path} {runtime}/engine/engine.sock\n"
    )
    systemctl.chmod(0o755)
    done = run({**environment, "PATH": f"{programs}:{environment['PATH']}"}, "tiny", "Why?")
    (runtime / "engine" / "engine.sock").unlink(missing_ok=True)
    assert (done.returncode, done.stdout) == (0, "".join(PIECES))
    assert "engine.socket started" in done.stderr


def test_without_either_an_engine_lives_for_one_run(environment: dict[str, str], tmp_path: Path) -> None:
    model = str(write_tiny_model(tmp_path / "tiny.gguf"))
    done = run(environment, model, "Why?", "--max-tokens", "4")
    assert done.returncode == 0, done.stderr
    assert "running one in this process" in done.stderr
    assert not (Path(environment["XDG_RUNTIME_DIR"]) / "engine").exists()
