"""``engine-ctl experiments``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.loop.test_experiments import make_experiment
from tests.requirements.execution import told
from tests.tools.command_line import engine_ctl


def write_spec(folder: Path) -> str:
    asked = make_experiment({"threads": 1}, pairs=2, note="a note", agent="tester")
    path = folder / "SPEC.json"
    path.write_text(asked.model_dump_json(exclude={"type", "request_id"}, exclude_unset=True), encoding="utf-8")
    return str(path)


def test_an_experiment_runs_from_a_file_and_is_listed_and_shown(engine: Path, tmp_path: Path) -> None:
    flags = ("--socket", str(engine))
    done = told("experiments", "run", write_spec(tmp_path), *flags)
    name = done["experiment"]["experiment_id"]
    assert (done["experiment"]["ended"], len(done["experiment"]["pairs"])) == ("complete", 2)
    assert told("experiments", "ls", "--limit", "1", *flags)["experiments"][0]["experiment_id"] == name
    assert told("experiments", "show", name, *flags)["experiment"] == done["experiment"]
    first = done["experiment"]["executions"][0]["execution_id"]
    shown = engine_ctl("executions", "show", first, *flags).stdout
    assert f"of {name}: arm 0, input 0, warming up" in shown


def test_a_person_reads_what_differed_and_by_how_much(engine: Path, tmp_path: Path) -> None:
    flags = ("--socket", str(engine))
    done = engine_ctl("experiments", "run", write_spec(tmp_path), *flags)
    assert done.exit_code == 0
    assert "threads: " in done.stdout
    assert "too few for an interval" in done.stdout
    assert "pair 1: candidate 1" in done.stderr
    name = done.stdout.partition(":")[0]
    shown = engine_ctl("experiments", "show", name, *flags).stdout
    assert shown.startswith(done.stdout)
    assert "pair 0" in shown
    assert name in engine_ctl("experiments", "ls", *flags).stdout


def test_what_is_no_experiment_is_refused(engine: Path, tmp_path: Path) -> None:
    (tmp_path / "SPEC.json").write_text(json.dumps({"baseline": {"model": "m"}}))
    refused = engine_ctl("experiments", "run", str(tmp_path / "SPEC.json"), "--socket", str(engine))
    assert (refused.exit_code, "candidates" in refused.stderr) == (3, True)
    (tmp_path / "SPEC.json").write_text(json.dumps({"type": "Run", "baseline": {"model": "m"}}))
    other = engine_ctl("experiments", "run", str(tmp_path / "SPEC.json"), "--socket", str(engine))
    assert (other.exit_code, "a message of the type 'Run', and no Experiment" in other.stderr) == (2, True)
    unknown = engine_ctl("experiments", "show", "nothing", "--socket", str(engine))
    assert (unknown.exit_code, "unknown_entry" in unknown.stderr) == (3, True)
