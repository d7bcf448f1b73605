"""The learning rate: a linear warm-up, then half a cosine down to a tenth. By steps, or by the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

_LEAST = 0.1
_LONGEST_WARMUP = 0.1
"""Share of the whole training, for short ones."""


@dataclass(frozen=True)
class Schedule:
    """Of a training of ``steps`` steps; of one that the clock ends, where there is a budget."""

    peak: float
    warmup_steps: int
    steps: int
    budget_s: float | None = None

    def is_over(self, step: int, seconds: float) -> bool:
        """Whether a training is at its end after so many steps and seconds."""
        return self.progress(step, seconds) >= 1

    def progress(self, step: int, seconds: float) -> float:
        """The share of the training that is done."""
        by_steps = step / self.steps
        return by_steps if self.budget_s is None else max(by_steps, seconds / self.budget_s)

    def rate(self, step: int, seconds: float) -> float:
        """The learning rate of the step after ``step`` others."""
        done = self.progress(step, seconds)
        warm = min(1.0, max((step + 1) / max(1, self.warmup_steps), done / _LONGEST_WARMUP))
        return self.peak * warm * (_LEAST + (1 - _LEAST) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
