"""What follows a proof: proposed, validated, applied, watched, rolled back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocol.errors import InvalidRequest
from tests.agents.evidence_factory import evidence_of, make_pair
from weos_agents.applying import Applied, Applying, breach_of
from weos_agents.evidence import Evidence
from weos_agents.gate import GateRules
from weos_agents.guardrail import with_margins
from weos_agents.laboratory import ResolvedPlan
from weos_agents.sample import Metric

pytest.importorskip("optuna", reason="optuna is not installed")

from tests.agents.simulated_laboratory import WORKLOAD, SimulatedLaboratory
from tests.agents.test_optimizer import more_threads_are_slower, optimize


@dataclass
class FakeShelf:
    """Keeps what was filed, and refuses what an engine would refuse."""

    steps: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    refuses_baselines: bool = False

    def propose(self, plan: ResolvedPlan, evidence: Evidence, rules: GateRules, note: str) -> str:
        if self.refuses_baselines and evidence.baseline_plan == evidence.candidate_plan:
            raise InvalidRequest("the evidence supports no figure")
        assert evidence.candidate_plan == plan.fingerprint
        name = f"proposal-{len(self.plans)}"
        self.plans[name] = plan.fingerprint
        self.steps.append(f"propose {note[:20]}")
        return name

    def validate(self, proposal: str, reason: str) -> None:
        assert reason
        self.steps.append(f"validate {proposal}")

    def versions(self, name: str) -> int:
        return len(self.names.get(name, ()))

    def apply(self, name: str, proposal: str, reason: str) -> int:
        self.names.setdefault(name, []).append(self.plans[proposal])
        return self.versions(name)

    def roll_back(self, name: str, version: int, reason: str) -> int:
        if version != self.versions(name):
            raise InvalidRequest("another version has come since")
        if self.versions(name) < 2:
            raise InvalidRequest("there is no version before it")
        self.names[name].append(self.names[name][-2])
        return self.versions(name)


class TurningLaboratory(SimulatedLaboratory):
    """A machine on which the plan becomes harmful once it is applied."""

    harmful = False

    def __init__(self) -> None:
        def speed(values: dict[str, Any]) -> dict[Metric, float]:
            worse: dict[Metric, float] = {"tokens_per_sec": 0.7, "ttft_ms": 1.6}
            changed = values["execution.threads"] != 8
            return worse if self.harmful and changed else more_threads_are_slower(values)

        super().__init__(speed)


def applied_on(
    laboratory: TurningLaboratory, shelf: FakeShelf, *, turns: bool, pairs: int = 20
) -> tuple[Applied, list[str]]:
    told: list[str] = []
    found = optimize(laboratory)
    assert found.proof is not None
    applying = Applying(shelf, laboratory, GateRules(), told.append)
    filed = applying.file(found, "better by a quarter")
    laboratory.harmful = turns
    return applying.apply(filed, found, "chat-default", WORKLOAD.choosing, pairs), told


def test_what_is_proved_is_proposed_validated_and_applied_behind_the_baseline() -> None:
    shelf, laboratory = FakeShelf(), TurningLaboratory()
    applied, _ = applied_on(laboratory, shelf, turns=False)
    assert (applied.name, applied.version, applied.breach, applied.rolled_back) == ("chat-default", 2, "", None)
    assert shelf.names["chat-default"] == [
        laboratory.resolve({}).fingerprint,
        laboratory.resolve({"execution.threads": 4}).fingerprint,
    ]
    assert shelf.steps[:2] == ["propose better by a quarter", "validate proposal-0"]


def test_a_plan_that_turns_out_harmful_is_rolled_back_as_soon_as_that_is_proved() -> None:
    shelf, laboratory = FakeShelf(), TurningLaboratory()
    applied, told = applied_on(laboratory, shelf, turns=True, pairs=200)
    assert "tokens_per_sec is worse by at least" in applied.breach
    assert applied.rolled_back == 3
    assert shelf.names["chat-default"][2] == laboratory.resolve({}).fingerprint
    assert applied.watched is not None
    assert len(applied.watched.pairs) < 20
    assert told[-1] == "rolled back: chat-default is version 3"


def test_where_there_is_nothing_to_go_back_to_that_is_said() -> None:
    applied, told = applied_on(TurningLaboratory(), FakeShelf(refuses_baselines=True), turns=True)
    assert applied.rolled_back is None
    assert any("could not be kept as a version to go back to" in one for one in told)
    assert any("could not be rolled back" in one for one in told)


def test_without_pairs_it_is_not_watched() -> None:
    applied, _ = applied_on(TurningLaboratory(), FakeShelf(), turns=True, pairs=0)
    assert (applied.watched, applied.breach, applied.rolled_back) == (None, "", None)


def test_the_watch_goes_by_the_margins_of_whoever_asked() -> None:
    slower: dict[Metric, float] = {"latency_p95_ms": math.log(1.5)}
    evidence = evidence_of(tuple(make_pair(n, slower) for n in range(30)))
    assert "latency_p95_ms is worse by at least" in breach_of(evidence, GateRules())
    assert breach_of(evidence, GateRules(guardrails=with_margins({"latency_p95_ms": 1.0}))) == ""
    worse: dict[Metric, float] = {"latency_p95_ms": math.log(2.5)}
    more = evidence_of(tuple(make_pair(n, worse) for n in range(30)))
    assert "latency_p95_ms is" in breach_of(more, GateRules(guardrails=with_margins({"latency_p95_ms": 1.0})))


def test_noise_is_no_breach_and_other_answers_are() -> None:
    assert breach_of(evidence_of(tuple(make_pair(n) for n in range(30))), GateRules()) == ""
    assert breach_of(evidence_of(()), GateRules()) == ""
    other = evidence_of(tuple(make_pair(n, answer="another") for n in range(3)))
    assert breach_of(other, GateRules()) == "answers differ"
    assert breach_of(other.model_copy(update={"same_arithmetic": False}), GateRules()) == ""
