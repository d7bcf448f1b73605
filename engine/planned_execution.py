"""A request decided: the plan of an execution, with what follows from it, computed once and carried."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.experiment import ExperimentPlace
from protocol.named_plan import NamedPlanUse
from protocol.plan import ExecutionPlan
from protocol.summaries import PlanEstimate


@dataclass(frozen=True, slots=True)
class PlannedExecution:
    """An execution before it runs. Nothing about it is open any more."""

    plan: ExecutionPlan
    fingerprint: str
    """The plan's."""
    prompt_token_ids: tuple[int, ...]
    estimate: PlanEstimate
    """What it asks of the machine."""
    prompt: str | None = None
    """The text that was tokenized; ``None``: token ids were given."""
    named_plan: NamedPlanUse | None = None
    """The named plan that it was asked for by."""
    experiment: ExperimentPlace | None = None
    """Where it belongs in the experiment that it is run for."""
