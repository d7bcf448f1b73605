"""A load on the executor's behalf, and which executions it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from actors.messages import Start
from engine.backend import LoadedModel
from engine.batch_key import WeightsKey
from engine.operation import Operation
from protocol.grammar import PlanGrammar
from protocol.plan import ExecutionPlan

LoadKey = tuple[WeightsKey, WeightsKey | None, PlanGrammar | None]
"""One load serves all plans equal in these."""


@dataclass(slots=True)
class Loading:
    """A model that is being made ready, and the executions that wait for it."""

    operation: Operation[LoadedModel]
    starts: dict[str, Start] = field(default_factory=dict)
    since_ns: int = field(default_factory=time.monotonic_ns)


def load_key(plan: ExecutionPlan) -> LoadKey:
    """The load that a plan needs."""
    return WeightsKey.of(plan), WeightsKey.of_draft(plan), plan.grammar
