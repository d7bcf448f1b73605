"""A plan's drafting, as the run loop takes it."""

from __future__ import annotations

from engine import _core
from protocol.speculation import PlanSpeculation


def speculation_options(
    speculation: PlanSpeculation, draft_model: _core.Model | None = None
) -> _core.SpeculationOptions | None:
    """``None`` where it is off. ``draft_model``: the one that guesses, where one does."""
    if speculation.row_cost is None:
        return None
    return _core.SpeculationOptions(
        max_rows=speculation.max_rows,
        row_cost=speculation.row_cost,
        draft_model=draft_model,
        draft_cost=speculation.draft_cost or 0.0,
    )
