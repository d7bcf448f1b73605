"""Proposals, their evidence, and the plans that they put behind names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import EvidenceRefused, InvalidRequest, RequestRefused, UnknownEntry
from protocol.experiment import ExperimentRecord
from protocol.plan import ExecutionPlan, RunRequest
from protocol.proposal import Claim, Guardrail, ProposalStatus
from protocol.proposal_messages import (
    ApplyPlan,
    GetNamedPlan,
    GetProposal,
    MoveProposal,
    NamedPlans,
    Proposals,
    Propose,
    RollBackPlan,
)
from protocol.requests import Plan, VerifyRecords
from tests.loop.test_experiments import make_experiment
from tests.requirements.execution import make_request, record_of, run


def measured(client: BlockingClient, **candidate: Any) -> ExperimentRecord:
    """An experiment with a figure of tokens per second."""
    return client.ask(make_experiment(candidate or {"threads": 1}, pairs=2)).experiment


def make_proposal(experiment: ExperimentRecord, **fields: Any) -> Propose:
    content = {"plan": experiment.plans[1], "evidence": (experiment.experiment_id,), "kpi": "tokens_per_sec"}
    return Propose(**{**content, "agent": "tester", **fields})


def ratio_of(experiment: ExperimentRecord, metric: str = "tokens_per_sec") -> float:
    ratio = next(one.median_ratio for one in experiment.arms[0].figures if one.metric == metric)
    assert ratio is not None
    return ratio


def validated(client: BlockingClient, **candidate: Any) -> ProposalStatus:
    filed = client.ask(make_proposal(measured(client, **candidate))).status
    moved = MoveProposal(proposal_id=filed.proposal.proposal_id, state="validated", agent="judge", reason="it holds")
    return client.ask(moved).status


def test_a_proposal_is_filed_with_its_evidence_and_found_again(client: BlockingClient) -> None:
    experiment = measured(client)
    asked = make_proposal(
        experiment,
        claims=(Claim(metric="tokens_per_sec", median_ratio=ratio_of(experiment)),),
        guardrails=(Guardrail(metric="ttft_ms", margin=0.1),),
        note="one thread",
    )
    filed = client.ask(asked).status
    assert (filed.state, filed.moves, filed.proposal.agent, filed.proposal.note) == (
        "proposed", (), "tester", "one thread",
    )  # fmt: skip
    assert {check.check for check in filed.proposal.checks} == {"ended", "covers", "comparable", "kpi", "claims"}
    assert all(check.holds for check in filed.proposal.checks)
    assert client.ask(GetProposal(proposal_id=filed.proposal.proposal_id)).status == filed
    assert client.ask(Proposals(limit=1)).proposals == (filed,)
    assert client.ask(VerifyRecords()).report.fault is None


def test_claims_that_are_not_the_figures_are_refused(client: BlockingClient) -> None:
    experiment = measured(client)
    mutated = Claim(metric="tokens_per_sec", median_ratio=ratio_of(experiment) * 1.01)
    with pytest.raises(EvidenceRefused, match="has the median ratio"):
        client.ask(make_proposal(experiment, claims=(mutated,)))


@pytest.mark.parametrize("metric", ["tokens_per_watt", "joules_total"])
def test_energy_that_was_not_measured_bears_nothing(metric: Any, client: BlockingClient) -> None:
    experiment = measured(client)
    with pytest.raises(EvidenceRefused, match=f"{metric} is unknown: "):
        client.ask(make_proposal(experiment, kpi=metric))
    with pytest.raises(EvidenceRefused, match=f"{metric} is unknown: "):
        client.ask(make_proposal(experiment, claims=(Claim(metric=metric, median_ratio=1.2),)))


def test_evidence_of_another_plan_is_refused(client: BlockingClient) -> None:
    experiment = measured(client)
    other = client.ask(Plan(request=make_request(quantization="q8_0"))).plan
    with pytest.raises(EvidenceRefused, match="did not run this plan"):
        client.ask(make_proposal(experiment, plan=other))
    # The baseline is nothing that the experiment speaks for.
    with pytest.raises(EvidenceRefused, match="did not run this plan"):
        client.ask(make_proposal(experiment, plan=experiment.plans[0]))


def test_evidence_that_is_not_there_is_refused(client: BlockingClient) -> None:
    with pytest.raises(EvidenceRefused, match="no experiment and no execution"):
        client.ask(make_proposal(measured(client), evidence=("experiment-0",)))


@contextmanager
def written_over(home: Path, kind: str, subject: str, before: str, after: str) -> Iterator[None]:
    """The records while somebody has written over an entry, past the trigger that forbids it."""
    with closing(sqlite3.connect(home / "data" / "records.sqlite", isolation_level=None)) as database:
        ((trigger, told),) = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%UPDATE ON entries%'"
        ).fetchall()
        ((sequence, content),) = database.execute(
            "SELECT sequence, content FROM entries WHERE kind = ? AND (subject = ? OR execution_id = ?)",
            (kind, subject, subject),
        ).fetchall()
        altered = content.replace(before, after, 1)
        assert altered != content
        database.execute(f"DROP TRIGGER {trigger}")
        try:
            database.execute("UPDATE entries SET content = ? WHERE sequence = ?", (altered, sequence))
            yield
        finally:
            database.execute("UPDATE entries SET content = ? WHERE sequence = ?", (content, sequence))
            database.execute(told)


def test_evidence_that_was_written_over_is_refused(client: BlockingClient, home: Path) -> None:
    """A median made better in the records themselves, or the schedule: hashes tell."""
    experiment = measured(client)
    asked = make_proposal(experiment)
    name = experiment.experiment_id
    median = f'"median_ratio":{json.dumps(ratio_of(experiment))}'
    for kind, before, after in (
        ("experiment", median, '"median_ratio":1.9'),
        ("experiment_declared", '"agent":"', '"agent":"another'),
    ):
        with written_over(home, kind, name, before, after), pytest.raises(EvidenceRefused, match="altered") as refused:
            client.ask(asked)
        assert [check["check"] for check in refused.value.params["checks"] if not check["holds"]] == ["sealed"]
    filed = client.ask(asked).status.proposal.proposal_id
    validate = MoveProposal(proposal_id=filed, state="validated")
    with written_over(home, "experiment", name, median, '"median_ratio":1.9'), pytest.raises(EvidenceRefused):
        client.ask(validate)
    assert client.ask(validate).status.state == "validated"
    assert client.ask(VerifyRecords()).report.fault is None


def test_an_execution_that_was_written_over_is_no_evidence(client: BlockingClient, home: Path) -> None:
    a, b = run(client), run(client, threads=1)
    asked = Propose(plan=b.plan, evidence=(a.execution_id, b.execution_id), kpi="tokens_per_sec")
    altered = written_over(home, "finished", b.execution_id, '"tokens_per_sec":', '"tokens_per_sec":9')
    with altered, pytest.raises(EvidenceRefused, match="its content is not what was hashed"):
        client.ask(asked)


def test_executions_of_different_prompts_are_no_evidence(client: BlockingClient) -> None:
    a, b = run(client, prompt="Olá"), run(client, prompt="Bom dia", threads=1)
    asked = Propose(plan=b.plan, evidence=(a.execution_id, b.execution_id), kpi="tokens_per_sec")
    with pytest.raises(EvidenceRefused, match="another prompt"):
        client.ask(asked)


def test_executions_alone_bear_no_claim_and_cannot_be_validated(client: BlockingClient) -> None:
    a, b = run(client), run(client, threads=1)
    asked = Propose(plan=b.plan, evidence=(a.execution_id, b.execution_id), kpi="tokens_per_sec")
    claims = (Claim(metric="tokens_per_sec", median_ratio=1.0),)
    with pytest.raises(EvidenceRefused, match="no experiment supports it"):
        client.ask(asked.model_copy(update={"claims": claims}))
    filed = client.ask(asked).status.proposal
    with pytest.raises(EvidenceRefused, match="executions alone"):
        client.ask(MoveProposal(proposal_id=filed.proposal_id, state="validated"))
    assert client.ask(GetProposal(proposal_id=filed.proposal_id)).status.state == "proposed"


def test_each_move_names_its_agent_and_reason_and_an_end_is_an_end(client: BlockingClient) -> None:
    status = validated(client)
    (move,) = status.moves
    assert (status.state, move.agent, move.reason) == ("validated", "judge", "it holds")
    name = status.proposal.proposal_id
    rejected = client.ask(MoveProposal(proposal_id=name, state="rejected", agent="judge", reason="on reflection"))
    assert [move.state for move in rejected.status.moves] == ["validated", "rejected"]
    with pytest.raises(InvalidRequest, match="that is its end"):
        client.ask(MoveProposal(proposal_id=name, state="withdrawn"))
    assert name in {one.proposal.proposal_id for one in client.ask(Proposals(state="rejected")).proposals}
    assert name not in {one.proposal.proposal_id for one in client.ask(Proposals(state="proposed")).proposals}


def test_a_proposal_is_applied_once_it_is_validated(client: BlockingClient) -> None:
    filed = client.ask(make_proposal(measured(client))).status.proposal
    with pytest.raises(InvalidRequest, match="is proposed: it can be validated"):
        client.ask(ApplyPlan(name="early", proposal=filed.proposal_id))
    with pytest.raises(UnknownEntry):
        client.ask(GetNamedPlan(name="early"))


def test_a_named_plan_runs_and_its_record_says_which(client: BlockingClient) -> None:
    status = validated(client)
    applied = client.ask(ApplyPlan(name="chat-default", proposal=status.proposal.proposal_id, agent="tester"))
    version = applied.version.named_plan
    record = record_of(client, RunRequest(plan_name="chat-default", prompt="Olá mundo"))
    assert record.named_plan is not None
    assert (record.named_plan.name, record.named_plan.version) == ("chat-default", version.version)
    assert record.named_plan.plan_fingerprint == record.plan_fingerprint == version.plan_fingerprint
    assert client.ask(GetProposal(proposal_id=status.proposal.proposal_id)).status.state == "applied"
    assert run(client).named_plan is None
    with pytest.raises(ValueError, match=r"leave out execution\.threads"):
        RunRequest.model_validate({"plan_name": "chat-default", "prompt": "x", "execution": {"threads": 1}})
    with pytest.raises(UnknownEntry):
        record_of(client, RunRequest(plan_name="nothing", prompt="Olá"))


def test_rolling_back_is_a_version_of_its_own(client: BlockingClient) -> None:
    plans: list[ExecutionPlan] = []
    for candidate in ({"threads": 1}, {"prefill_chunk": 16}):
        proposal = validated(client, **candidate).proposal
        plans.append(client.ask(ApplyPlan(name="rolled", proposal=proposal.proposal_id)).version.named_plan.plan)
    back = client.ask(RollBackPlan(name="rolled", agent="tester", reason="it was slower")).version.named_plan
    assert (back.version, back.rolled_back_to, back.plan, back.reason) == (3, 1, plans[0], "it was slower")
    history = client.ask(GetNamedPlan(name="rolled")).versions
    assert [one.named_plan.version for one in history] == [3, 2, 1]
    record = record_of(client, RunRequest(plan_name="rolled", prompt="Olá mundo"))
    assert record.named_plan is not None
    assert (record.named_plan.version, record.plan_fingerprint) == (3, plans[0].fingerprint)
    listed = {one.named_plan.name: one.named_plan.version for one in client.ask(NamedPlans()).plans}
    assert listed["rolled"] == 3
    with pytest.raises(InvalidRequest, match="version 9 is not there to go back to: there is 2, 1") as refused:
        client.ask(RollBackPlan(name="rolled", version=9))
    assert refused.value.params["allowed"] == (2, 1)


def test_what_was_never_applied_cannot_be_rolled_back(client: BlockingClient) -> None:
    with pytest.raises(UnknownEntry):
        client.ask(RollBackPlan(name="never"))
    proposal = validated(client).proposal
    client.ask(ApplyPlan(name="once", proposal=proposal.proposal_id))
    with pytest.raises(InvalidRequest, match="an earlier version is not there"):
        client.ask(RollBackPlan(name="once"))


def test_a_named_plan_is_not_taken_where_it_cannot_be_honoured(client: BlockingClient, home: Path) -> None:
    """A longer prompt than its context, here."""
    proposal = validated(client).proposal
    client.ask(ApplyPlan(name="short", proposal=proposal.proposal_id))
    with pytest.raises(RequestRefused, match="no room for an answer"):
        record_of(client, RunRequest(plan_name="short", prompt="Olá mundo " * 200))
