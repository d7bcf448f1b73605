"""``engine-ctl proposals``, ``plans`` and ``run --plan-name``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from tests.loop.test_experiments import make_experiment
from tests.requirements.execution import told
from tests.requirements.llama import NAME
from tests.tools.command_line import engine_ctl


@pytest.fixture
def evidence(client: BlockingClient, tmp_path: Path) -> tuple[str, str]:
    """A file with a plan, and the experiment that supports it."""
    experiment = client.ask(make_experiment({"threads": 1}, pairs=1)).experiment
    path = tmp_path / "PLAN.json"
    path.write_text(experiment.plans[1].model_dump_json(), encoding="utf-8")
    return str(path), experiment.experiment_id


def test_a_proposal_goes_from_the_command_line_to_a_run_by_name_and_back(
    evidence: tuple[str, str], engine: Path
) -> None:
    flags = ("--socket", str(engine))
    who = ("--agent", "tester", "--reason", "a reason")
    plan, experiment = evidence
    add = ("proposals", "add", "--plan", plan, "--evidence", experiment, "--kpi", "tokens_per_sec")
    filed = told(*add, "--guardrail", "ttft_ms=0.1", "--note", "fewer", "--agent", "tester", *flags)
    name = filed["status"]["proposal"]["proposal_id"]
    assert told("proposals", "validate", name, *who, *flags)["status"]["state"] == "validated"
    applied = told("proposals", "apply", name, "--name", "by-hand", *who, *flags)["version"]["named_plan"]
    record = told("run", "--plan-name", "by-hand", "--prompt", "Olá mundo", *flags)
    assert record["named_plan"] == {
        "name": "by-hand", "version": applied["version"], "plan_fingerprint": record["plan_fingerprint"],
    }  # fmt: skip
    shown = told("plans", "show", "by-hand", *flags)
    assert shown["plan_fingerprint"] == record["plan_fingerprint"]
    again = told(*add, *flags)["status"]["proposal"]["proposal_id"]
    told("proposals", "validate", again, *flags)
    told("proposals", "apply", again, "--name", "by-hand", *flags)
    back = told("plans", "roll-back", "by-hand", *who, *flags)["version"]["named_plan"]
    assert (back["version"], back["rolled_back_to"]) == (applied["version"] + 2, applied["version"])
    assert len(told("plans", "history", "by-hand", *flags)["versions"]) == back["version"]
    assert "by-hand" in {one["named_plan"]["name"] for one in told("plans", "ls", *flags)["plans"]}


def test_a_person_reads_what_became_of_a_proposal(evidence: tuple[str, str], engine: Path) -> None:
    flags = ("--socket", str(engine))
    plan, experiment = evidence
    add = ("proposals", "add", "--plan", plan, "--evidence", experiment, "--kpi", "tokens_per_sec")
    filed = engine_ctl(*add, "--guardrail", "ttft_ms=0.1", "--agent", "tester", *flags).stdout
    name = filed.partition(":")[0]
    assert f"evidence: {experiment}" in filed
    assert "not worse by more than 10.0%" in filed
    rejected = engine_ctl("proposals", "reject", name, "--agent", "judge", "--reason", "too slow", *flags).stdout
    assert "rejected by judge: too slow" in rejected
    assert engine_ctl("proposals", "show", name, *flags).stdout == rejected
    assert name in engine_ctl("proposals", "ls", "--state", "rejected", *flags).stdout
    withdrawn = engine_ctl("proposals", "withdraw", name, *flags)
    assert (withdrawn.exit_code, "that is its end" in withdrawn.stderr) == (3, True)


@pytest.mark.parametrize(
    ("flag", "code"), [(("--claim", "tokens_per_sec=9"), 3), (("--claim", "nothing"), 2), (("--guardrail", "x=1"), 3)]
)
def test_what_is_not_supported_or_not_understood_is_refused(
    flag: tuple[str, str], code: int, evidence: tuple[str, str], engine: Path
) -> None:
    plan, experiment = evidence
    add = ("proposals", "add", "--plan", plan, "--evidence", experiment, "--kpi", "tokens_per_sec")
    assert engine_ctl(*add, *flag, "--socket", str(engine)).exit_code == code


def test_a_refused_proposal_says_every_reason(evidence: tuple[str, str], engine: Path) -> None:
    plan, experiment = evidence
    add = ("proposals", "add", "--plan", plan, "--evidence", experiment, "--kpi", "joules_total", "--json")
    error = json.loads(engine_ctl(*add, "--socket", str(engine)).stdout)["error"]
    assert error["code"] == "evidence_refused"
    assert "joules_total is unknown" in error["params"]["reasons"][0]


def test_only_the_version_that_was_watched_is_rolled_back(evidence: tuple[str, str], engine: Path) -> None:
    flags = ("--socket", str(engine))
    plan, experiment = evidence
    for _ in range(2):
        filed = told("proposals", "add", "--plan", plan, "--evidence", experiment, "--kpi", "tokens_per_sec", *flags)[
            "status"
        ]["proposal"]["proposal_id"]
        told("proposals", "validate", filed, *flags)
        told("proposals", "apply", filed, "--name", "watched", *flags)
    refused = engine_ctl("plans", "roll-back", "watched", "--newest", "1", *flags)
    assert (refused.exit_code, "is at version 2, and not at 1 any more" in refused.stderr) == (3, True)
    assert told("plans", "roll-back", "watched", "--newest", "2", *flags)["version"]["named_plan"]["version"] == 3


def test_lists_without_an_entry_say_so(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_DATA_DIR", str(tmp_path))
    for command, said in (
        (("proposals", "ls"), "no proposals are recorded"),
        (("proposals", "ls", "--state", "applied"), "no recorded proposal is applied"),
        (("plans", "ls"), "no plan is behind a name"),
        (("experiments", "ls"), "no experiments are recorded"),
    ):
        listed = engine_ctl(*command)
        assert (listed.exit_code, listed.stdout, listed.stderr.splitlines()[-1]) == (0, "", said)


def test_a_model_beside_a_plan_is_refused_and_not_taken_for_text(home: Path, evidence: tuple[str, str]) -> None:
    for planned in (("--plan-name", "by-hand"), ("--plan", evidence[0])):
        for model in (NAME, str(next((home / "models").glob("*.gguf")))):
            refused = engine_ctl("run", *planned, model, "Olá mundo")
            assert (refused.exit_code, "which model answers: leave out" in refused.stderr) == (2, True)


def test_one_plan_is_run_at_a_time(evidence: tuple[str, str]) -> None:
    refused = engine_ctl("run", "--plan", evidence[0], "--plan-name", "x", "--prompt", "a")
    assert (refused.exit_code, "a --plan or a --plan-name" in refused.stderr) == (2, True)
