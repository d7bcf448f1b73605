"""Tokens per joule as the goal, on a machine whose meter is simulated: real executions, measured by it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.power_plant import PowerPlant
from tests.agents.test_commands import weos_agents
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Once {number}"}) + "\n" for number in range(4)))
    return path


def experiment(folder: Path, workload: Path, watts: PowerPlant | None) -> dict[str, Any]:
    """Two plans of a model that runs long enough for a window of energy."""
    model = write_tiny_model(folder / "tiny.gguf", n_embd=512, n_ff=1024, context_length=4096, tensor_type="F16")
    places = {f"ENGINE_{name}_DIR": str(folder / name.lower()) for name in ("MODELS", "CACHE", "DATA")}
    nothing = {f"ENGINE_{name}_ROOT": str(folder / "nothing") for name in ("POWER_PMU", "HWMON", "POWERCAP")}
    meter = {} if watts is None else {"ENGINE_POWERCAP_ROOT": str(watts.root)}
    with tempfile.TemporaryDirectory(prefix="engine-") as short:
        socket = Path(short) / "engine.sock"
        with serving(socket, env=os.environ | places | nothing | meter) as engine:
            if watts is not None:
                watts.watch(engine.pid)
            goal = ("--workload", str(workload), "--kpi", "tokens_per_joule", "--max-tokens", "1800", "--pairs", "2")
            change = ("--change", "execution.threads=1", "--whole", "--json", "--socket", str(socket))
            result = weos_agents("experiment", str(model), *goal, *change)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def faults(found: dict[str, Any]) -> list[str]:
    checks = found["verdict"]["checks"]
    return [check["found"] for check in checks if check["rule"] == "evidence" and not check["passed"]]


def test_joules_that_a_meter_shows_are_evidence(tmp_path: Path, workload: Path) -> None:
    with PowerPlant(tmp_path / "powercap", idle_watts=10.0, core_watts=20.0) as plant:
        found = experiment(tmp_path, workload, plant)
    kinds = {pair[side]["energy_kind"] for pair in found["evidence"]["pairs"] for side in ("baseline", "candidate")}
    assert kinds == {"measured"}
    assert faults(found) == []


def test_without_a_meter_there_is_no_evidence_of_joules(tmp_path: Path, workload: Path) -> None:
    told = faults(experiment(tmp_path, workload, None))
    assert told
    assert all("energy was unavailable, not measured" in one for one in told)
