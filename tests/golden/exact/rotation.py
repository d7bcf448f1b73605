"""Rotary position embedding (Su et al. 2021), with the ways to stretch its angles: linear (Chen et al. 2023), YaRN
(Peng et al. 2023), divisors of each pair's angle (Llama 3, LongRoPE).
"""

from __future__ import annotations

import numpy as np

from tests.golden.exact.formulas import Array
from tests.golden.exact.traits import TRAITS
from tests.golden.exact.weights import Weights

WINDOW_BASE = 10000.0


class Rotation:
    """Rotary embedding of a layer's queries and keys."""

    def __init__(self, weights: Weights, head_width: int, *, windowed: bool) -> None:
        self._traits = TRAITS[weights.architecture]
        self._width = int(weights.setting("rope.dimension_count", head_width))
        base = float(weights.setting("rope.freq_base", 10000.0))
        self._magnitude = 1.0
        self._original_context = original_context(weights)
        self._long: Array | float = 1.0
        self._short: Array | float = 1.0
        angles = self._traits.window_angles if windowed else "same"
        if angles == "own base":
            base = WINDOW_BASE
        self._frequencies = base ** (-np.arange(0, self._width, 2, dtype=np.float64) / self._width)
        if angles == "same":
            self._stretch(weights, base)

    def _stretch(self, weights: Weights, base: float) -> None:
        factor = float(weights.setting("rope.scaling.factor", 1.0))
        kind = weights.setting("rope.scaling.type", "linear")
        self._magnitude = float(weights.setting("rope.scaling.attn_factor", 1.0))
        if kind == "yarn":
            kept = _kept_by_yarn(weights, self._width, base)
            self._frequencies *= kept + (1.0 - kept) / factor
            if not self._traits.scores_grow:
                weight = float(weights.setting("rope.scaling.yarn_log_multiplier", 0.0))
                self._magnitude *= yarn_magnitude(factor, 1.0) / yarn_magnitude(factor, weight)
        elif kind == "linear":
            self._frequencies /= factor
        if "rope_freqs" in weights:
            self._frequencies /= weights.tensor("rope_freqs")
        if "rope_factors_long" in weights:
            self._long = weights.tensor("rope_factors_long")
            self._short = weights.tensor("rope_factors_short")

    def _divisors(self, tokens: int) -> Array | float:
        """The long ones for a sequence that goes beyond the original context."""
        return self._long if tokens > self._original_context else self._short

    def rotate(self, vectors: Array) -> Array:
        """``[tokens, heads, head_width]`` at positions 0, 1, …; dimensions beyond the rotated ones stay."""
        width = self._width
        frequencies = self._frequencies / self._divisors(len(vectors))
        angles = np.outer(np.arange(len(vectors)), frequencies)[:, None, :]
        cosine, sine = np.cos(angles) * self._magnitude, np.sin(angles) * self._magnitude
        if self._traits.pairs == "neighbours":
            first, second = slice(0, width, 2), slice(1, width, 2)
        else:
            first, second = slice(0, width // 2), slice(width // 2, width)
        left, right = vectors[..., first], vectors[..., second]
        rotated: Array = vectors.copy()
        rotated[..., first] = left * cosine - right * sine
        rotated[..., second] = left * sine + right * cosine
        return rotated


def _kept_by_yarn(weights: Weights, width: int, base: float) -> Array:
    """How much of each pair's angle stays as it was: all where it turns often within the original context, nothing
    where it turns seldom, a ramp between.
    """
    context = float(original_context(weights))

    def pair_that_turns(times: float) -> float:
        return float(width * np.log(context / (times * 2.0 * np.pi)) / (2.0 * np.log(base)))

    first = max(np.floor(pair_that_turns(float(weights.setting("rope.scaling.yarn_beta_fast", 32.0)))), 0.0)
    last = min(np.ceil(pair_that_turns(float(weights.setting("rope.scaling.yarn_beta_slow", 1.0)))), width - 1.0)
    ramp = (np.arange(width // 2) - first) / max(last - first, 0.001)
    return np.asarray(1.0 - np.clip(ramp, 0.0, 1.0))


def yarn_magnitude(factor: float, weight: float) -> float:
    """Factor that sharpens attention, half of it in the queries and half in the keys."""
    return float(0.1 * weight * np.log(factor) + 1.0) if factor > 1.0 else 1.0


def original_context(weights: Weights) -> int:
    """Context for which the model was trained before its angles were stretched."""
    context = int(weights.setting("context_length"))
    return int(weights.setting("rope.scaling.original_context_length", context))
