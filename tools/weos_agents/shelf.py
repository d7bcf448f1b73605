"""Where proposals are filed and plans put behind names: a port, and the engine's own."""

from __future__ import annotations

from typing import Protocol

from protocol.blocking import BlockingClient
from protocol.experiment import EXPERIMENT_METRICS
from protocol.plan import ExecutionPlan
from protocol.proposal import Claim
from protocol.proposal import Guardrail as ProposedGuardrail
from protocol.proposal_messages import ApplyPlan, MoveProposal, NamedPlans, Propose, RollBackPlan
from weos_agents.evidence import Evidence
from weos_agents.gate import GateRules
from weos_agents.laboratory import ResolvedPlan

AGENT = "weos-agents"


class Shelf(Protocol):
    """Every method may raise an EngineError; each step names its reason."""

    def propose(self, plan: ResolvedPlan, evidence: Evidence, rules: GateRules, note: str) -> str:
        """File a plan with the experiment that supports it; the proposal's id."""

    def validate(self, proposal: str, reason: str) -> None:
        """Say that the gate opened for it."""

    def versions(self, name: str) -> int:
        """How many versions a named plan has; 0: there is none of this name."""

    def apply(self, name: str, proposal: str, reason: str) -> int:
        """Put a validated proposal's plan behind a name; the version."""

    def roll_back(self, name: str, version: int, reason: str) -> int:
        """Put the plan before a version, which must be the newest, behind a name again; the new version."""


class EngineShelf:
    """That of a running engine, which checks what can be checked and chains every step."""

    def __init__(self, client: BlockingClient) -> None:
        """``client``: of the engine that ran the experiments."""
        self._client = client

    def propose(self, plan: ResolvedPlan, evidence: Evidence, rules: GateRules, note: str) -> str:
        """See :class:`Shelf`."""
        claims = [
            Claim(metric=metric, median_ratio=ratio, evidence=evidence.experiment)
            for metric in EXPERIMENT_METRICS
            if metric == rules.kpi and (ratio := evidence.medians.get(metric)) is not None
        ]
        asked = Propose(
            plan=ExecutionPlan.model_validate_json(plan.json_text),
            evidence=(evidence.experiment,),
            kpi=rules.kpi,
            guardrails=_guardrails(rules),
            claims=tuple(claims),
            note=note,
            agent=AGENT,
        )
        return self._client.ask(asked).status.proposal.proposal_id

    def validate(self, proposal: str, reason: str) -> None:
        """See :class:`Shelf`."""
        self._client.ask(MoveProposal(proposal_id=proposal, state="validated", agent=AGENT, reason=reason))

    def versions(self, name: str) -> int:
        """See :class:`Shelf`."""
        plans = self._client.ask(NamedPlans()).plans
        return next((one.named_plan.version for one in plans if one.named_plan.name == name), 0)

    def apply(self, name: str, proposal: str, reason: str) -> int:
        """See :class:`Shelf`."""
        asked = ApplyPlan(name=name, proposal=proposal, agent=AGENT, reason=reason)
        return self._client.ask(asked).version.named_plan.version

    def roll_back(self, name: str, version: int, reason: str) -> int:
        """See :class:`Shelf`."""
        asked = RollBackPlan(name=name, newest=version, agent=AGENT, reason=reason)
        return self._client.ask(asked).version.named_plan.version


def _guardrails(rules: GateRules) -> tuple[ProposedGuardrail, ...]:
    """Those of percentiles go by their figure's name: the engine keeps them and judges none."""
    return tuple(ProposedGuardrail(metric=one.metric, margin=one.margin) for one in rules.guardrails)
