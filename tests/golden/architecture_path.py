"""What is kept of llama.cpp's run of a tiny model of an architecture: a prompt, the 64 tokens it continues with, and
logits along the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

STEPS = 64
PROMPT_TOKENS = 40
KEPT = (*range(32, PROMPT_TOKENS), *range(PROMPT_TOKENS, PROMPT_TOKENS + STEPS - 1, 4))
"""Positions whose logits are kept whole: of the prompt's end, and of every fourth step."""

Logits = npt.NDArray[np.float32]


def prompt_of(vocabulary_size: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(11).integers(0, vocabulary_size, PROMPT_TOKENS)]


def forced_path(vocabulary_size: int, steps: Sequence[Sequence[Any]]) -> list[int]:
    """What to feed: the prompt, and the best token of all steps but the last."""
    return prompt_of(vocabulary_size) + [int(step[0]) for step in steps[:-1]]


def relative_distance(logits: npt.NDArray[np.floating], exact: npt.NDArray[np.floating]) -> float:
    """Mean absolute difference, in standard deviations of the exact ones."""
    return float(np.abs(logits - exact).mean() / exact.std())


@dataclass(frozen=True)
class Step:
    """The choice of a token: the two best, and their logits."""

    best: int
    second: int
    best_logit: float
    second_logit: float

    @classmethod
    def of(cls, logits: Logits) -> Step:
        second, best = (int(token) for token in np.argsort(logits, kind="stable")[-2:])
        return cls(best, second, float(logits[best]), float(logits[second]))
