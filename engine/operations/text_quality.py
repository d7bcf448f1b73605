"""Figures of a text evaluation. Sums are exact and rounded once, so that they depend on no order of addition."""

from __future__ import annotations

import math
import sys
from typing import Protocol

import numpy as np
import numpy.typing as npt

from protocol.evaluation import Comparison, TextQuality

Doubles = npt.NDArray[np.float64]

_LARGEST_LOG = math.log(sys.float_info.max)


class UnboundedPerplexityError(ValueError):
    """The perplexity, or its standard error, is beyond every float. The message says how far."""


class Scores(Protocol):
    """What ``_core.TextEvaluation`` has after its run: arrays [positions], all finite, of at least two positions."""

    @property
    def nll(self) -> Doubles:
        """Negative log likelihoods ``[positions]`` of the text's own tokens."""

    @property
    def base_nll(self) -> Doubles | None:
        """The base's ``[positions]``; ``None`` without a base."""

    @property
    def divergence(self) -> Doubles | None:
        """Kullback-Leibler divergences ``[positions]`` from the base; ``None`` without one."""

    @property
    def same_best(self) -> npt.NDArray[np.bool_] | None:
        """Whether both favour the same token ``[positions]``; ``None`` without a base."""


def text_quality(scores: Scores) -> TextQuality:
    """Raises UnboundedPerplexityError."""
    nll, base_nll = scores.nll, scores.base_nll
    divergence, same_best = scores.divergence, scores.same_best
    perplexity, error = _perplexity(nll)
    comparison = None
    if base_nll is not None and divergence is not None and same_best is not None:
        comparison = _comparison(nll, base_nll, divergence, same_best)
    return TextQuality(positions=len(nll), perplexity=perplexity, perplexity_error=error, against_base=comparison)


def _comparison(nll: Doubles, base_nll: Doubles, divergence: Doubles, same_best: npt.NDArray[np.bool_]) -> Comparison:
    base_perplexity, base_error = _perplexity(base_nll)
    difference, difference_error = _mean(nll - base_nll)
    mean, mean_error = _mean(divergence)
    share, share_error = _mean(same_best.astype(np.float64))
    ascending = np.sort(divergence)
    return Comparison(
        base_perplexity=base_perplexity,
        base_perplexity_error=base_error,
        log_perplexity_difference=difference,
        log_perplexity_difference_error=difference_error,
        divergence_mean=mean,
        divergence_error=mean_error,
        divergence_p50=_percentile(ascending, 500),
        divergence_p90=_percentile(ascending, 900),
        divergence_p99=_percentile(ascending, 990),
        divergence_p999=_percentile(ascending, 999),
        divergence_max=float(ascending[-1]),
        same_best=share,
        same_best_error=share_error,
    )


def _mean(values: Doubles) -> tuple[float, float]:
    """With its standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum(np.square(values - mean)) / count
    return mean, math.sqrt(variance / (count - 1))


def _perplexity(nll: Doubles) -> tuple[float, float]:
    mean, error = _mean(nll)
    if mean + math.log1p(error) >= _LARGEST_LOG:
        raise UnboundedPerplexityError(f"the perplexity is e to the power of {mean:.6g}, beyond what a float can hold")
    perplexity = math.exp(mean)
    return perplexity, perplexity * error


def _percentile(ascending: Doubles, per_mille: int) -> float:
    """The nearest-rank percentile: the least value that ``per_mille`` of the array do not exceed."""
    rank = -(-per_mille * len(ascending) // 1000)
    return float(ascending[max(rank, 1) - 1])
