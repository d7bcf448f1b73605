"""Modelled joules on their way through the command line: asked for by name, marked wherever they are shown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl

RUN = ("--prompt", "Once", "--max-tokens", "250", "--backend", "reference", "--threads", "1")


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MODELS_DIR", "CACHE_DIR", "DATA_DIR", "POWERCAP_ROOT"):
        monkeypatch.setenv(f"ENGINE_{name}", str(tmp_path / name))
    monkeypatch.setenv("ENGINE_TDP_WATTS", "40")
    return write_tiny_model(tmp_path / "slow.gguf", n_layer=6, n_embd=128, n_ff=256, context_length=1024)


def told(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = engine_ctl(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def run(model: Path, *flags: str) -> dict[str, Any]:
    return told("run", "--model", str(model), *RUN, *flags)


def test_modelled_joules_are_marked_in_a_run_and_in_its_record(slow: Path) -> None:
    shown = engine_ctl("run", "--model", str(slow), *RUN, "--energy-source", "model", "--metrics").stderr
    assert "W (model)" in shown
    assert "energy: ~ modelled (model), ±" in shown
    (listed,) = told("executions", "ls")["executions"]
    assert listed["energy_kind"] == "modelled"
    lines = engine_ctl("executions", "show", listed["execution_id"]).stdout.splitlines()
    (watts,) = [line for line in lines if line.startswith("  watts_avg = ")]
    assert watts.startswith("  watts_avg = ~")
    assert watts.endswith(" (model)")
    assert any(line.startswith("  energy: ~ modelled (model), ±") for line in lines)


def test_modelled_joules_judge_no_repeat_and_are_marked_there(slow: Path) -> None:
    a, b = (run(slow, "--energy-source", "model")["execution_id"] for _ in range(2))
    compared = told("executions", "compare", a, b, "--differing", "threads")["variant"]
    watts = next(ratio for ratio in compared["ratios"] if ratio["metric"] == "watts_avg")
    assert (watts["ratio"], watts["better"], watts["modelled"]) == (None, None, ["a", "b"])
    line = next(line for line in engine_ctl("executions", "compare", a, b).stdout.splitlines() if "watts_avg" in line)
    assert line.count("(model)") == 2
    assert "not judged" in line
    assert "modelled, not measured" in line


def test_the_kind_is_exported_beside_the_figures(slow: Path) -> None:
    record = run(slow, "--energy-source", "model")
    (row,) = csv.DictReader(io.StringIO(engine_ctl("executions", "export", "--format", "csv").stdout))
    assert (row["energy_kind"], row["energy_source"]) == ("modelled", "model")
    assert float(row["joules_total"]) == record["metrics"]["joules_total"] > 0
    assert float(row["energy_rel_uncertainty"]) > 0.5
    assert json.loads(row["energy_curve"])["idle_watts"] == 4.0


def test_a_limit_of_modelled_watts_is_kept_to(slow: Path) -> None:
    limited = run(slow, "--energy-source", "model", "--max-joules", "10", "--max-tokens", "900")
    assert limited["stop_reason"] == "max_joules"
    assert limited["plan"]["limits"]["max_joules"] == 10.0
    assert limited["metrics"]["energy"]["kind"] == "modelled"
    assert limited["metrics"]["joules_total"] >= 10.0


def test_a_limit_without_a_source_is_refused_naming_the_model(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = told("run", "--model", str(slow), *RUN, "--max-watts", "10", exit_code=7)["error"]
    assert refused["code"] == "energy_unavailable"
    assert "--energy-source model" in refused["message"]
    monkeypatch.delenv("ENGINE_TDP_WATTS")
    refused = told("run", "--model", str(slow), *RUN, "--energy-source", "model", exit_code=7)["error"]
    assert "ENGINE_TDP_WATTS" in refused["message"]
