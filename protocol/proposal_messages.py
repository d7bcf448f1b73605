"""What a client asks about proposals and named plans, and what it is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.experiment import AgentName, ExperimentMetric, Note
from protocol.message import Answer, Request
from protocol.named_plan import NamedPlanVersion
from protocol.plan import ExecutionPlan, PlanName
from protocol.proposal import Claim, Evidence, Guardrail, MovedState, ProposalState, ProposalStatus


class Proposed(Answer):
    """The proposal is in the chain of records."""

    type: Literal["Proposed"] = "Proposed"
    status: ProposalStatus
    hash: str
    """The entry's hash in the chain."""


class ProposalList(Answer):
    """A page of proposals."""

    type: Literal["ProposalList"] = "ProposalList"
    proposals: tuple[ProposalStatus, ...]


class ProposalShown(Answer):
    """One proposal."""

    type: Literal["ProposalShown"] = "ProposalShown"
    status: ProposalStatus


class PlanApplied(Answer):
    """A new version is behind the name, for every run from now on."""

    type: Literal["PlanApplied"] = "PlanApplied"
    version: NamedPlanVersion
    hash: str
    """The entry's hash in the chain."""


class NamedPlanList(Answer):
    """The newest version of every named plan."""

    type: Literal["NamedPlanList"] = "NamedPlanList"
    plans: tuple[NamedPlanVersion, ...]


class NamedPlanShown(Answer):
    """A named plan with its history."""

    type: Literal["NamedPlanShown"] = "NamedPlanShown"
    versions: tuple[NamedPlanVersion, ...]
    """The newest first; those that were pruned are gone."""


class Propose(Request[Proposed]):
    """File a plan for better, with its evidence. Answered by ``Proposed``.

    The engine checks what can be checked, and refuses with ``evidence_refused`` evidence that is not in the records,
    did not run this plan, or is of another model, machine or build than can be compared here; an experiment that does
    not support the KPI, since energy was not measured or every pair was disturbed; and claims that are not its figures.
    Executions may be named too: they support no claim, and a proposal that rests on them alone cannot be validated.
    """

    type: Literal["Propose"] = "Propose"
    plan: ExecutionPlan
    evidence: Evidence
    kpi: ExperimentMetric
    guardrails: Annotated[tuple[Guardrail, ...], Field(max_length=16)] = ()
    claims: Annotated[tuple[Claim, ...], Field(max_length=16)] = ()
    note: Note = ""
    agent: AgentName = ""


class Proposals(Request[ProposalList]):
    """The proposals, the newest first. Answered by ``ProposalList``."""

    type: Literal["Proposals"] = "Proposals"
    state: ProposalState | None = None
    """Those in this state alone; ``None``: all."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class GetProposal(Request[ProposalShown]):
    """Answered by ``ProposalShown``."""

    type: Literal["GetProposal"] = "GetProposal"
    proposal_id: str


class MoveProposal(Request[ProposalShown]):
    """Validate, reject or withdraw a proposal. Answered by ``ProposalShown``.

    A proposal is proposed, then validated, then applied by ``ApplyPlan``; until then it may be rejected or withdrawn.
    It is validated only where an experiment supports it on this machine and build.
    """

    type: Literal["MoveProposal"] = "MoveProposal"
    proposal_id: str
    state: MovedState
    agent: AgentName = ""
    reason: Note = ""


class ApplyPlan(Request[PlanApplied]):
    """Put a validated proposal's plan behind a name. Answered by ``PlanApplied``."""

    type: Literal["ApplyPlan"] = "ApplyPlan"
    name: PlanName
    proposal: str
    """Its id."""
    agent: AgentName = ""
    reason: Note = ""


class RollBackPlan(Request[PlanApplied]):
    """Put an earlier version's plan behind a name again, as a version of its own. Answered by ``PlanApplied``."""

    type: Literal["RollBackPlan"] = "RollBackPlan"
    name: PlanName
    version: Annotated[int, Field(ge=1)] | None = None
    """The version to go back to; ``None``: the one before the newest, where that was rolled back, before the one that
    it went back to. Once more goes one step further back, and never forth."""
    newest: Annotated[int, Field(ge=1)] | None = None
    """The version that must be the newest, such as the one that an agent applied and watched: where another has come
    since, it is refused. ``None``: whichever is."""
    agent: AgentName = ""
    reason: Note = ""


class NamedPlans(Request[NamedPlanList]):
    """Answered by ``NamedPlanList``."""

    type: Literal["NamedPlans"] = "NamedPlans"


class GetNamedPlan(Request[NamedPlanShown]):
    """Answered by ``NamedPlanShown``."""

    type: Literal["GetNamedPlan"] = "GetNamedPlan"
    name: PlanName


AskedOfProposals = (
    Propose | Proposals | GetProposal | MoveProposal | ApplyPlan | RollBackPlan | NamedPlans | GetNamedPlan
)
ToldOfProposals = Proposed | ProposalList | ProposalShown | PlanApplied | NamedPlanList | NamedPlanShown
