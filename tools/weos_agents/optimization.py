"""What an optimizer tried, decided and proved. Pure data, which reports are made of."""

from __future__ import annotations

from typing import Final

from protocol.value import Value
from weos_agents.evidence import Evidence
from weos_agents.experimenter import Confirmation, Trial
from weos_agents.laboratory import ResolvedPlan
from weos_agents.sample import Metric
from weos_agents.search_fields import SearchField

MOST_ATTEMPTS: Final = 3
"""Candidates that may try to prove themselves."""


class Decision(Value):
    """What the agent did, and why."""

    at_s: float
    """Since it began."""
    what: str


class Optimization(Value):
    """All that was tried, and what came of it."""

    kpi: Metric
    kpi_note: str
    """Why it is another than was asked for; empty: it is not."""
    fields: tuple[SearchField, ...]
    baseline: ResolvedPlan
    noise: Evidence
    """The baseline against itself."""
    trials: tuple[Trial, ...]
    confirmations: tuple[Confirmation, ...]
    decisions: tuple[Decision, ...]
    chosen: int | None
    """The confirmation whose plan is proposed; ``None``: the baseline stays."""
    candidate: ResolvedPlan | None
    """The plan proposed."""
    seconds: float
    joules: float | None

    @property
    def proof(self) -> Confirmation | None:
        """The proof of the plan that is proposed."""
        return None if self.chosen is None else self.confirmations[self.chosen]
