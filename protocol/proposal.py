"""Proposals: a plan that an agent holds for better, with the evidence for it, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.experiment import AgentName, ExperimentMetric, Note
from protocol.plan import ExecutionPlan
from protocol.value import NonNegative, Value

ProposalState = Literal["proposed", "validated", "rejected", "applied", "withdrawn"]
MovedState = Literal["validated", "rejected", "withdrawn"]
"""Where an agent may move a proposal; it is applied by ``ApplyPlan`` alone."""
Evidence = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1, max_length=64)
]
"""Ids of experiments, or of executions."""


class Guardrail(Value):
    """A metric that the plan must not make worse by more than a margin. The agent judges it; the engine keeps it."""

    metric: ExperimentMetric
    margin: NonNegative
    """A part of the baseline's figure: 0.05 is five per cent."""


class Claim(Value):
    """A figure of the evidence, as the agent read it: another one is refused."""

    metric: ExperimentMetric
    median_ratio: Annotated[float, Field(gt=0)]
    """Candidate by baseline."""
    evidence: str = ""
    """The experiment whose figure it is; empty: any of the proposal's."""


class EvidenceCheck(Value):
    """Something that the engine could check of a proposal's evidence."""

    evidence: str
    """The id it is about."""
    check: Literal["exists", "sealed", "ended", "covers", "comparable", "kpi", "claims"]
    """``sealed``: it is in the chain as it was hashed; ``covers``: it ran the plan; ``comparable``: with this model,
    machine and build; ``kpi``: it measured the KPI."""
    holds: bool
    reason: str = ""
    """Why it does not hold."""


class Proposal(Value):
    """What an agent proposed. Immutable."""

    proposal_id: str
    plan: ExecutionPlan
    plan_fingerprint: str
    evidence: Evidence
    kpi: ExperimentMetric
    guardrails: tuple[Guardrail, ...]
    claims: tuple[Claim, ...]
    note: Note
    agent: AgentName
    engine_version: str
    build_id: str
    """The build that checked it."""
    checks: tuple[EvidenceCheck, ...]


class ProposalMove(Value):
    """A step of a proposal from one state to the next."""

    proposal_id: str
    state: ProposalState
    """The state that it is in from here on."""
    agent: AgentName
    reason: Note


class ProposalStatus(Value):
    """A proposal where it stands."""

    sequence: int
    recorded_at: str
    state: ProposalState
    proposal: Proposal
    moves: tuple[ProposalMove, ...]
    """The oldest first."""
