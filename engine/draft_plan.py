"""The plan by which the weights of a model that guesses are made ready. Pure."""

from __future__ import annotations

from protocol.plan import ExecutionPlan
from protocol.speculation import PlanSpeculation


def draft_plan(plan: ExecutionPlan) -> ExecutionPlan | None:
    """The plan of the weights that guess for another plan's; ``None`` where no model guesses."""
    guessing = plan.speculation
    if guessing.quantization is None:
        return None
    own = {
        "model_ref": guessing.model or plan.model_ref,
        "quantization": guessing.quantization,
        "speculation": PlanSpeculation(),
        "grammar": None,
    }
    return plan.model_copy(update=own)
