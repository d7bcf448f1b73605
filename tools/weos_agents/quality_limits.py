"""Limits that another arithmetic's answers must keep to: the two figures of their quality. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from protocol.value import Fraction, Value
from weos_agents.evidence import Evidence, Quality

DIVERGENCE: Final = "mean divergence"
SAME_BEST: Final = "same best token"
"""The figures' names, beside those of guardrails."""


class QualityBound(Value):
    """How far the answers of another arithmetic may be from the baseline's."""

    divergence_mean: Annotated[float, Field(ge=0)] = 0.05
    """Nats, at most."""
    same_best: Fraction = 0.9
    """At least."""

    def beyond(self, quality: Quality) -> dict[str, float]:
        """For each figure, how far it is beyond its limit, in nats and as a part; over 0 is a breach."""
        return {
            DIVERGENCE: quality.divergence_mean - self.divergence_mean,
            SAME_BEST: self.same_best - quality.same_best,
        }

    def told(self, beyond: Mapping[str, float]) -> dict[str, str]:
        """The faults that :meth:`beyond` found, with the limits, for a reader."""
        return {
            DIVERGENCE: f"{beyond[DIVERGENCE] + self.divergence_mean:.4f} nats (allowed: {self.divergence_mean:g})",
            SAME_BEST: f"at {self.same_best - beyond[SAME_BEST]:.1%} of positions (at least {self.same_best:.0%})",
        }


def quality_beyond(evidence: Evidence, bound: QualityBound) -> dict[str, float]:
    """How far an experiment's answers are beyond the limits of quality; empty: they are the baseline's, or it did not
    evaluate them."""
    if evidence.same_arithmetic or evidence.quality is None:
        return {}
    return bound.beyond(evidence.quality)
