"""What the machine draws now, and what running executions have used so far. Unknown is ``None`` with a reason."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protocol.metrics import EnergyReport
from protocol.value import Value


class PowerReport(Value):
    """Watts by one energy source, averaged over a second at least: faster readings would tell what others compute."""

    kind: Literal["measured", "modelled", "unavailable"]
    source: str
    window_ms: float | None = None
    """What they are averaged over, up to the moment."""
    watts: float | None = None
    """Watts of all CPU packages."""
    zones: dict[str, float] = Field(default_factory=dict)
    """Watts of each domain that the source reads, those that ``watts`` sums and those apart; empty where unknown."""
    rel_uncertainty: float | None = None
    """Uncertainty of ``watts``, as a part of it."""
    reason: str | None = None
    """Why nothing is known, and what would change that."""


class EnergySoFar(Value):
    """The energy of a running execution, from its first prefill step to the moment."""

    tokens_total: int
    energy: EnergyReport
    """What its record would say if it ended now."""
    tokens_per_watt: float | None
    """Its tokens so far for each joule so far; ``None``: ``energy`` says why."""
    share: float | None
    """What part it had of the run loop's computing while the watts were averaged, from 0 to 1."""
    watts: float | None
    """That part of all the packages drew."""
    reason: str | None = None
    """Why ``share`` or ``watts`` is unknown."""


class RunningEnergy(EnergySoFar):
    """The energy of one running execution."""

    execution_id: str
    model: str
