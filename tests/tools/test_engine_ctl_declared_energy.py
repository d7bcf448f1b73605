"""A model of energy, declared once at start-up: limits in watts where nothing measures, and nothing passed off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, serving

DECLARED = ("--energy-source", "model", "--tdp-watts", "65")
LIMITED = ("--prompt", "Once", "--max-tokens", "8", "--max-watts", "25", "--json")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, on a machine where nothing measures and nothing is declared."""
    for name in ("MODELS_DIR", "CACHE_DIR", "DATA_DIR", "POWERCAP_ROOT", "POWER_PMU_ROOT", "HWMON_ROOT"):
        monkeypatch.setenv(f"ENGINE_{name}", str(tmp_path / name))
    for name in ("ENERGY_SOURCE", "TDP_WATTS"):
        monkeypatch.delenv(f"ENGINE_{name}", raising=False)
    return write_tiny_model(tmp_path / "tiny.gguf")


def told(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = engine_ctl(*arguments)
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_a_served_declaration_is_in_the_plan_the_record_and_the_status(tiny: Path, socket_path: Path) -> None:
    common = ("--socket", str(socket_path))
    with serving(socket_path, *DECLARED):
        record = told("run", *common, "--model", str(tiny), *LIMITED)
        status = told("status", *common, "--json")["energy"]
        shown = engine_ctl("status", *common).stdout
    assert record["plan"]["energy_source"] == record["metrics"]["energy"]["source"] == "model"
    assert status["source"] == "model"
    assert status["declared"].startswith("model, declared at start-up")
    assert "energy source: model (model, declared at start-up" in shown


def test_live_watts_of_a_declared_model_are_marked_wherever_they_are_told(tiny: Path, socket_path: Path) -> None:
    common = ("--socket", str(socket_path))
    with serving(socket_path, *DECLARED):
        power = told("energy", *common, "--json")["power"]
        shown = engine_ctl("energy", *common).stdout
        exposed = engine_ctl("metrics", *common, "--prometheus").stdout
    assert (power["kind"], power["source"]) == ("modelled", "model")
    assert power["watts"] > 0
    assert "W (model)" in shown
    (sample,) = [line for line in exposed.splitlines() if line.startswith("engine_power_watts{")]
    assert 'kind="modelled"' in sample
    assert 'source="model"' in sample


def test_a_requests_own_source_wins(tiny: Path, socket_path: Path) -> None:
    common = ("--socket", str(socket_path), "--model", str(tiny), "--energy-source", "none")
    with serving(socket_path, *DECLARED):
        planned = told("plan", *common, "--prompt", "Once", "--json")["plan"]
        refused = told("run", *common, *LIMITED, exit_code=7)["error"]
    assert planned["energy_source"] == "none"
    assert "none, by name" in refused["message"]


def test_the_environment_declares_for_a_run_in_its_own_process(
    tiny: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", "--socket", str(socket_path), "--model", str(tiny), *LIMITED)
    error = told(*arguments, exit_code=7)["error"]
    assert "--energy-source model --tdp-watts WATTS" in error["message"]
    monkeypatch.setenv("ENGINE_ENERGY_SOURCE", "model")
    monkeypatch.setenv("ENGINE_TDP_WATTS", "65")
    assert told(*arguments)["plan"]["energy_source"] == "model"


def test_the_remedy_of_the_refusal_works_as_it_stands(tiny: Path, socket_path: Path) -> None:
    arguments = ("run", "--socket", str(socket_path), "--model", str(tiny), *LIMITED)
    result = engine_ctl(*arguments[:-1])
    assert result.exit_code == 7
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error[")]
    assert "--energy-source model --tdp-watts WATTS" in line
    assert line.endswith(".")
    assert told(*arguments, *DECLARED)["plan"]["energy_source"] == "model"
    (tiny.parent / "request.json").write_text(
        json.dumps({"model": str(tiny), "prompt": "Once", "execution": {"limits": {"max_tokens": 8, "max_watts": 25}}})
    )
    whole = ("run", "--socket", str(socket_path), "--request", str(tiny.parent / "request.json"), "--json")
    assert told(*whole, exit_code=7)["error"]["code"] == "energy_unavailable"
    assert told(*whole, *DECLARED)["plan"]["energy_source"] == "model"


def test_watts_of_an_engine_that_runs_already_are_its_own(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path):
        result = engine_ctl("run", "--socket", str(socket_path), "--model", str(tiny), *LIMITED, *DECLARED)
    assert result.exit_code == 2
    assert "engine-ctl serve --energy-source model --tdp-watts" in result.stderr


@pytest.mark.parametrize(
    ("flags", "exit_code", "told"),
    [
        (("--energy-source", "model"), 7, "does not work here: nothing is known of this machine's power"),
        (("--energy-source", "rapl"), 7, "does not work here"),
        (("--energy-source", "solar"), 3, "--energy-source is 'solar'; allowed: perf"),
        (("--energy-source", "model", "--tdp-watts", "nan"), 3, "--tdp-watts is 'nan'; give a number of watts"),
        (("--tdp-watts", "0"), 3, "--tdp-watts is '0'; give a number of watts"),
    ],
)
def test_a_declaration_that_cannot_hold_starts_no_engine(
    flags: tuple[str, ...], exit_code: int, told: str, tiny: Path, socket_path: Path
) -> None:
    result = engine_ctl("serve", "--socket", str(socket_path), *flags)
    assert result.exit_code == exit_code
    assert told in result.stderr
    assert not socket_path.exists()


def test_doctor_and_the_list_of_sources_tell_it(tiny: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_SOURCE", "model")
    broken = {
        check["name"]: check for check in told("doctor", "--socket", str(socket_path), "--json", exit_code=1)["checks"]
    }
    assert broken["energy: declared"]["status"] == "problem"
    assert "no engine starts" in engine_ctl("energy", "sources").stdout
    monkeypatch.setenv("ENGINE_TDP_WATTS", "65")
    checks = {check["name"]: check for check in told("doctor", "--socket", str(socket_path), "--json")["checks"]}
    assert checks["energy: declared"]["status"] == checks["energy: rapl"]["status"] == "ok"
    sources = told("energy", "sources", "--json")
    assert sources["source"] == "model"
    assert sources["declared"].startswith("model, declared at start-up")
    assert "model  used   modelled: cpus" in engine_ctl("energy", "sources").stdout
