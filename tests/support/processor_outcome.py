"""What the engine makes of one tiny model on a processor: this one, one with less, or an emulated one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.gguf_factory import write_tiny_model

ROOT = Path(__file__).parents[2]
_PROGRAM = """
import json, sys
from engine import _core
print(json.dumps([_core.cpu_features(), _core.kernel_tables()]), flush=True)
from tests.tools.command_line import engine_ctl
for arguments in json.loads(sys.argv[1]):
    result = engine_ctl(*arguments)
    print(json.dumps([result.exit_code, result.stdout, result.stderr]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    features: dict[str, str]
    kernel_tables: dict[str, str]
    backends: dict[str, str]
    """The check of that name in ``doctor``."""
    backend: str
    """The backend of the plan that names none."""
    record: dict[str, Any]
    """The record of that plan's run."""
    notes: str
    """What the run told beside its record."""


def outcome_on_processor(folder: Path, emulator: Sequence[str] = (), features: str = "") -> Outcome:
    """Import, ``doctor``, ``plan`` and ``run`` in one process; fails where any of them does, or a signal ends it.

    ``emulator`` is the command that runs Python, ``features`` the value of ``ENGINE_CPU_FEATURES``.
    """
    folder.mkdir(exist_ok=True)
    model = write_tiny_model(folder / "tiny.gguf")
    request = ("--model", str(model), "--prompt", "Once", "--max-tokens", "4")
    common = ("--socket", str(folder / "engine.sock"), "--json")
    commands = (("doctor", *common), ("plan", *request, *common), ("run", *request, *common))
    result = run_here(folder, [*emulator, sys.executable, "-c", _PROGRAM, json.dumps(commands)], features)
    assert result.returncode == 0, result.stderr
    (usable, tables), doctor, plan, run = (json.loads(line) for line in result.stdout.splitlines())
    for exit_code, output, errors in (doctor, plan, run):
        assert exit_code == 0, output + errors
    checks = {check["name"]: check for check in json.loads(doctor[1])["checks"]}
    record = json.loads(run[1])
    assert record["plan"] == json.loads(plan[1])["plan"]
    return Outcome(usable, tables, checks["backends"], record["plan"]["backend"], record, run[2])


def run_here(folder: Path, command: Sequence[str], features: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose engine keeps all its files in ``folder``."""
    places = {f"ENGINE_{name}_DIR": str(folder / name.lower()) for name in ("MODELS", "CACHE", "DATA")}
    environment = {**os.environ, **places, "ENGINE_CPU_FEATURES": features}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
