"""`engine-ctl energy calibrate`: against an engine that answers from a script, and on a machine that has no meter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.answers import EngineMessage, Progress
from protocol.calibration import EnergyCalibration
from protocol.operation_answers import Calibrated
from protocol.requests import Calibrate, ClientMessage
from tests.engine.test_energy_calibration import make_calibration
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.fake_engine import Answer


def answering(calibration: EnergyCalibration) -> Answer:
    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        assert isinstance(message, Calibrate)
        return [
            Progress(request_id=message.request_id, stage="idle", done=3, total=10, unit="seconds"),
            Calibrated(request_id=message.request_id, calibration=calibration, path="/data/energy/rapl.json"),
        ]

    return answer


def test_a_person_is_shown_what_was_measured(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answering(make_calibration()))
    assert engine_ctl("energy", "calibrate", "--socket", str(socket_path)).stdout.splitlines() == [
        "Test CPU · 4 CPUs · governor performance · measured by rapl",
        "load                         threads busy CPUs    watts  others",
        "idle                               0      0.00    12.00    0.0%",
        "model: 11.00 W + 9.00 W a busy CPU, ±15 %",
        "kept in /data/energy/rapl.json",
    ]


def test_programs_get_the_calibration(start_engine: StartEngine, socket_path: Path) -> None:
    calibration = make_calibration(curve=None)
    engine = start_engine(answering(calibration))
    flags = ("--energy-source", "rapl", "--quiet-s", "20", "--load-s", "2", "--idle-only")
    shown = json.loads(engine_ctl("energy", "calibrate", "--socket", str(socket_path), *flags, "--json").stdout)
    assert EnergyCalibration.model_validate_json(json.dumps(shown["calibration"])) == calibration
    assert shown["path"] == "/data/energy/rapl.json"
    (asked,) = engine.requests(Calibrate)
    assert isinstance(asked, Calibrate)
    assert (asked.source, asked.quiet_s, asked.load_s, asked.loads) == ("rapl", 20.0, 2.0, False)


@pytest.mark.parametrize("flags", [("--quiet-s", "9"), ("--quiet-s", "601"), ("--load-s", "0.5"), ("--load-s", "31")])
def test_too_short_and_too_long_are_wrong_usage(socket_path: Path, flags: tuple[str, str]) -> None:
    assert engine_ctl("energy", "calibrate", "--socket", str(socket_path), *flags).exit_code == 2


def test_without_a_meter_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket_path: Path) -> None:
    for name in ("MODELS_DIR", "CACHE_DIR", "DATA_DIR", "POWERCAP_ROOT"):
        monkeypatch.setenv(f"ENGINE_{name}", str(tmp_path / name))
    result = engine_ctl("energy", "calibrate", "--energy-source", "rapl", "--socket", str(socket_path), "--json")
    assert result.exit_code == 7
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "energy_unavailable"
    assert "does not exist" in error["message"]
    assert "ENGINE_TDP_WATTS" in error["message"]
