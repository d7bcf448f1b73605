"""Named plans: a plan behind a name, put there by an agent, with every version that there was."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.experiment import AgentName, Note
from protocol.plan import ExecutionPlan, PlanName
from protocol.value import Value


class NamedPlanUse(Value):
    """The named plan that an execution was asked for by, as its record says."""

    name: PlanName
    version: int
    plan_fingerprint: str


class NamedPlan(Value):
    """A version of a named plan. The newest counts."""

    name: PlanName
    version: Annotated[int, Field(ge=1)]
    """From 1, without gaps."""
    plan: ExecutionPlan
    plan_fingerprint: str
    proposal_id: str
    """The proposal that the plan comes from."""
    agent: AgentName
    reason: Note
    rolled_back_to: int | None = None
    """The version whose plan this one has again; ``None``: a proposal was applied."""


class NamedPlanVersion(Value):
    """A version, and where it stands in the chain of records."""

    sequence: int
    recorded_at: str
    named_plan: NamedPlan
