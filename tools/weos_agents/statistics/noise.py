"""Pairs of runs that never were: figures of two plans on a machine whose noise is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Noise:
    """How far runs of one plan lie apart, in log units."""

    spread: float = 0.03
    """Noise of a single run, as a standard deviation without outliers."""
    drift: float = 0.02
    """Noise that both runs of a pair share: a step of the machine's mood from pair to pair."""
    outliers: float = 0.05
    """The part of runs that something held up."""
    outlier_size: float = 0.5
    """The largest disturbance."""


def paired_log_ratios(random: np.random.Generator, pairs: int, noise: Noise, gain: float = 0.0) -> list[float]:
    """The logarithms of candidate over base in pairs that follow closely, with a true ``gain`` (0.05: 5 %)."""
    shared = np.cumsum(random.normal(0.0, noise.drift, pairs))
    base, candidate = (shared + _run(random, pairs, noise) for _ in range(2))
    return [float(ratio) for ratio in candidate + np.log1p(gain) - base]


def _run(random: np.random.Generator, pairs: int, noise: Noise) -> NDArray[np.float64]:
    """Tails of Student's t with four degrees of freedom, and slow outliers."""
    usual = random.standard_t(4, pairs) * noise.spread / np.sqrt(2.0)
    held_up = random.random(pairs) < noise.outliers
    found: NDArray[np.float64] = usual - held_up * random.uniform(0.0, noise.outlier_size, pairs)
    return found
