"""The agents as programs, beside an engine that runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import EngineError
from protocol.experiment_messages import Experiments
from protocol.plan import RunRequest
from protocol.proposal_messages import GetNamedPlan, GetProposal
from protocol.requests import Shutdown
from tests.agents.command_line import PROGRAM, weos_agents
from weos_agents.commands.session import Session
from weos_agents.guardrail import DEFAULT_GUARDRAILS, with_margins
from weos_agents.main import COMMANDS
from weos_agents.shelf import EngineShelf
from weos_agents.workload import Workload


def run(client: BlockingClient, model: Path, prompt: str) -> None:
    request: dict[str, Any] = {"model": str(model), "prompt": prompt, "execution": {"limits": {"max_tokens": 4}}}
    for _ in client.run(RunRequest.model_validate(request)):
        pass


def test_every_command_says_what_it_does() -> None:
    for name in COMMANDS:
        result = weos_agents(name, "--help")
        assert result.exit_code == 0
        assert "--socket" in result.stdout or "FOLDER" in result.stdout


def test_the_help_has_the_margins_of_every_guardrail() -> None:
    told = " ".join(weos_agents("optimize", "--help").stdout.split())
    assert f"[default: {', '.join(f'{one.metric}={one.margin:g}' for one in DEFAULT_GUARDRAILS)}]" in told


def test_an_error_is_a_line() -> None:
    result = weos_agents("observe", "--socket", "/none/engine.sock")
    assert result.exit_code == 1
    assert result.stderr.startswith("error[engine_unreachable]: ")


def test_an_observer_sees_what_other_clients_run(socket: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    page = tmp_path / "page.html"
    arguments = ("observe", "--json", "--html", str(page), "--socket", str(socket))
    with subprocess.Popen(  # noqa: S603  our own program
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as observer:
        assert observer.stderr is not None
        assert observer.stdout is not None
        assert observer.stderr.readline() == "observing\n"
        with BlockingClient.connect(socket, timeout=60) as client:
            for number in range(3):
                run(client, tiny, f"input {number}")
            client.ask(Shutdown())
        report = json.loads(observer.stdout.read().splitlines()[-1])
    assert observer.returncode == 0
    assert sum(plan["executions"] for plan in report["plans"]) == 3
    assert {plan["model"] for plan in report["plans"]} == {"tiny"}
    assert "Tokens per second of the latest executions" in page.read_text()


def test_an_observer_ends_when_its_time_is_over(socket: Path) -> None:
    result = weos_agents("observe", "--json", "--seconds", "0.01", "--socket", str(socket))
    assert (result.exit_code, json.loads(result.stdout)["plans"]) == (0, [])


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    result = weos_agents("report", str(tmp_path))
    assert result.exit_code == 1
    assert "holds no report" in result.stderr


def test_an_experiment_is_declared_run_and_recorded_by_the_engine(socket: Path, tiny: Path, workload: Path) -> None:
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--pairs", "8", "--unknown-load-counts")
    result = weos_agents("experiment", *arguments, "--change", "execution.threads=1", "--json", "--socket", str(socket))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["evidence"]["same_arithmetic"] is True
    assert [check for check in found["verdict"]["checks"] if check["rule"] in ("evidence", "answers", "held_out")] == [
        {"rule": "evidence", "passed": True, "found": "every figure was computed again from the records, and agrees"},
        {"rule": "answers", "passed": True, "found": "every bit of every answer is the baseline's"},
        {"rule": "held_out", "passed": True, "found": "no input that proves it was used to choose it"},
    ]
    with BlockingClient.connect(socket, timeout=60) as client:
        (summary,) = client.ask(Experiments()).experiments
    assert (summary.agent, summary.pairs) == ("weos-agents", len(found["evidence"]["pairs"]))


def test_an_experiment_says_which_limits_are_of_whoever_asked(socket: Path, tiny: Path, workload: Path) -> None:
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--pairs", "2", "--unknown-load-counts")
    margins = ("--margin", "latency_p95_ms=1.0", "--margin", "memory_peak_mb=0", "--socket", str(socket))
    found = json.loads(weos_agents("experiment", *arguments, *margins, "--json").stdout)
    limits = [one["guardrail"] for one in found["verdict"]["guardrails"]]
    assert [(one["metric"], one["margin"], one["usual"]) for one in limits] == [
        ("ttft_ms", 0.1, None),
        ("latency_p95_ms", 1.0, 0.1),
        ("memory_peak_mb", 0.0, 0.1),
        ("joules_per_token", 0.05, None),
    ]
    told = weos_agents("experiment", *arguments, *margins).stdout.splitlines()
    assert told[1:3] == [
        "latency_p95_ms: allowed 100% worse, own limit instead of 10%",
        "memory_peak_mb: allowed 0% worse, own limit instead of 10%",
    ]


def test_another_arithmetic_is_judged_by_its_quality(socket: Path, tiny: Path, workload: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 40)
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--pairs", "6", "--unknown-load-counts")
    change = ("--change", "execution.quantization=q8_0", "--json", "--socket", str(socket))
    judged = json.loads(weos_agents("experiment", *arguments, "--quality-text", str(text), *change).stdout)
    assert judged["evidence"]["same_arithmetic"] is False
    assert 0 <= judged["evidence"]["quality"]["divergence_mean"] < 1
    unknown = weos_agents("experiment", *arguments, *change)
    assert json.loads(unknown.stdout)["evidence"]["quality"] is None


def test_an_optimizer_writes_a_report_of_what_it_tried(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder = tmp_path / "report"
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--fields", "threads,batch.prefill_chunk")
    limits = ("--minutes", "0.1", "--unknown-load-counts", "--report", str(folder), "--socket", str(socket))
    asked = ("--remark", "a small model", "--margin", "latency_p95_ms=1.0")
    result = weos_agents("optimize", *arguments, *limits, *asked)
    assert result.exit_code == 0, result.output
    assert "the baseline is sha256:" in result.stderr
    report = json.loads((folder / "report.json").read_text())
    assert {name for trial in report["optimization"]["trials"] for name in trial["changes"]} <= {
        "threads",
        "batch.prefill_chunk",
    }
    assert report["optimization"]["trials"]
    assert (report["minutes"], report["remark"]) == (0.1, "a small model")
    assert {one["metric"]: one["margin"] for one in report["rules"]["guardrails"] if one["usual"]} == {
        "latency_p95_ms": 1.0
    }
    assert "allowed 100% worse, own limit instead of 10%" in (folder / "report.html").read_text()
    assert report["began_at"].endswith("Z")
    assert weos_agents("report", str(folder)).stdout.endswith(f"written: {folder / 'report.html'}\n")


def test_the_rules_of_a_report_are_those_by_which_plans_were_judged(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    """A plan is proposed by its report's rules: where energy is not measured, by another figure than was asked for."""
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--kpi", "tokens_per_joule")
    limits = ("--minutes", "0.01", "--unknown-load-counts", "--report", str(tmp_path), "--socket", str(socket))
    result = weos_agents("optimize", *arguments, *limits)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["rules"]["kpi"] == report["optimization"]["kpi"]
    assert (report["rules"]["kpi"] == "tokens_per_sec") == bool(report["optimization"]["kpi_note"])


def test_wrong_changes_are_wrong_usage(socket: Path, tiny: Path, workload: Path) -> None:
    arguments = (str(tiny), "--workload", str(workload), "--socket", str(socket))
    assert weos_agents("experiment", *arguments, "--change", "threads=1").exit_code == 2
    refused = weos_agents("experiment", *arguments, "--change", "execution.threads=4096")
    assert refused.exit_code == 1
    assert "error[invalid_request]: threads is 4096" in refused.stderr


def test_the_engine_keeps_what_is_proposed_applied_and_rolled_back(socket: Path, tiny: Path, workload: Path) -> None:
    """The gate apart: what the engine checks by itself, on experiments that it ran."""
    with BlockingClient.connect(socket, timeout=60) as client:
        session = Session(client, str(tiny), workload, 16, None)
        laboratory, shelf = session.laboratory, EngineShelf(client)
        margins = with_margins({"latency_p95_ms": 1.5})
        rules = session.rules("tokens_per_sec", 0.02, margins, unknown_load_counts=True)
        changes = {"execution.threads": 1}
        plans = [laboratory.resolve(one) for one in ({}, changes)]
        inputs = session.workload.choosing
        experiments = [laboratory.experiment({}, one, inputs, 6, lambda found: False) for one in ({}, changes)]
        for plan, evidence in zip(plans, experiments, strict=True):
            proposal = shelf.propose(plan, evidence, rules, "for a test")
            filed = client.ask(GetProposal(proposal_id=proposal)).status.proposal.guardrails
            assert [(one.metric, one.margin) for one in filed] == [(one.metric, one.margin) for one in margins]
            shelf.validate(proposal, "for a test")
            shelf.apply("chat-default", proposal, "for a test")
        assert shelf.versions("chat-default") == 2
        assert shelf.roll_back("chat-default", 2, "for a test") == 3
        with pytest.raises(EngineError, match="not at 2 any more"):
            shelf.roll_back("chat-default", 2, "another has come since")
        newest, _, first = client.ask(GetNamedPlan(name="chat-default")).versions
        assert newest.named_plan.plan_fingerprint == first.named_plan.plan_fingerprint == plans[0].fingerprint
        false = experiments[1].model_copy(update={"medians": {"tokens_per_sec": 9.0}})
        with pytest.raises(EngineError, match="tokens_per_sec"):
            shelf.propose(plans[1], false, rules, "a false claim")
        with pytest.raises(EngineError, match="did not run this plan"):
            shelf.propose(plans[1], experiments[0], rules, "of another plan")


def test_recorded_prompts_become_a_workload_where_their_people_consent(
    socket: Path, tiny: Path, tmp_path: Path
) -> None:
    with BlockingClient.connect(socket, timeout=60) as client:
        for prompt in ("a", "b", "a", "c", "d"):
            run(client, tiny, prompt)
    path = tmp_path / "recorded.jsonl"
    asked = ("workload", "tiny", "--socket", str(socket), "-o", str(path))
    assert weos_agents(*asked).exit_code == 2
    assert not path.exists()
    assert weos_agents(*asked, "--consent").exit_code == 0
    assert len(path.read_text().splitlines()) == 4
    assert Workload.read(path)
    two = weos_agents("workload", "tiny", "--consent", "--latest", "2", "--socket", str(socket))
    assert len(two.stdout.splitlines()) == 2
