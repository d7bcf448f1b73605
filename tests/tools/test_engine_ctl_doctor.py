"""`engine-ctl doctor`: one line a check, one JSON object, and an exit code that a script can decide by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.identity.version import ENGINE_VERSION
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path / name.lower()))


def test_every_check_has_its_line_and_a_healthy_machine_ends_with_0(socket_path: Path) -> None:
    result = engine_ctl("doctor", "--socket", str(socket_path))
    assert result.exit_code == 0
    assert f"engine {ENGINE_VERSION}" in result.stdout
    assert f"{socket_path}, not there yet" in result.stdout
    assert "PROBLEM" not in result.stdout


def test_json_is_one_object(socket_path: Path) -> None:
    shown = json.loads(engine_ctl("doctor", "--json", "--socket", str(socket_path)).stdout)
    assert shown["healthy"] is True
    assert {"name", "status", "found", "remedy"} == set(shown["checks"][0])
    names = [check["name"] for check in shown["checks"]]
    assert {"versions", "backends", "cpus", "memory", "socket", "engine", "models", "weights cache", "records"} <= set(
        names
    )


def test_a_problem_ends_with_1_and_its_remedy(socket_path: Path) -> None:
    socket_path.parent.chmod(0o755)
    result = engine_ctl("doctor", "--socket", str(socket_path))
    assert result.exit_code == 1
    assert "PROBLEM  socket" in result.stdout
    assert f"chmod 700 {socket_path.parent}" in result.stdout
    socket_path.parent.chmod(0o700)


def test_an_engine_of_another_version_is_found(socket_path: Path, start_engine: StartEngine) -> None:
    start_engine(lambda message: [])
    socket_path.chmod(0o600)
    result = engine_ctl("doctor", "--socket", str(socket_path))
    assert result.exit_code == 0
    assert f"0.0 answers, and this is {ENGINE_VERSION}" in result.stdout
