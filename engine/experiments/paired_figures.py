"""Plain figures of pairs: log-ratios, their median and an interval that holds it. Pure.

The interval is made of order statistics: between the k-th smallest and the k-th largest of n log-ratios lies the
median of what they are drawn from, with a probability of 1 - 2 P(B < k) for B binomial of n and 1/2, whatever their
distribution (H. A. David and H. N. Nagaraja, Order Statistics, 7.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from protocol.experiment import ExperimentMetric, MeasuredPair, PairedFigure

CONFIDENCE = 0.95


def paired_figure(metric: ExperimentMetric, pairs: Sequence[MeasuredPair]) -> PairedFigure:
    """The figure of one candidate's pairs. Those that are known to have been disturbed count for memory alone, which is
    an execution's own whoever has the CPU."""
    counted = [pair for pair in pairs if pair.undisturbed is not False or metric == "memory_peak_mb"]
    ratios = sorted(ratio for pair in counted if (ratio := pair.log_ratios.get(metric)) is not None)
    if not ratios:
        return PairedFigure(
            metric=metric,
            pairs=0,
            median_log_ratio=None,
            median_ratio=None,
            interval=None,
            confidence=None,
            reason=_why_none(metric, pairs, counted),
        )
    middle = median(ratios)
    rank, confidence = _rank(len(ratios))
    interval = None if rank == 0 else (math.exp(ratios[rank - 1]), math.exp(ratios[-rank]))
    return PairedFigure(
        metric=metric,
        pairs=len(ratios),
        median_log_ratio=middle,
        median_ratio=math.exp(middle),
        interval=interval,
        confidence=None if interval is None else confidence,
        reason=None if interval is not None else f"{len(ratios)} pairs are too few for an interval of {CONFIDENCE:.0%}",
    )


def _rank(count: int) -> tuple[int, float]:
    """The largest k whose interval is sure enough, 0 where there is none; and how sure it is."""
    rank, confidence, below = 0, 0.0, 0
    for k in range(1, count // 2 + 1):
        below += math.comb(count, k - 1)
        sure = 1 - 2 * below / 2**count
        if sure < CONFIDENCE:
            break
        rank, confidence = k, sure
    return rank, confidence


def _why_none(metric: ExperimentMetric, pairs: Sequence[MeasuredPair], counted: Sequence[MeasuredPair]) -> str:
    if not pairs:
        return "there is no whole pair"
    if not counted:
        return "every pair was disturbed"
    return next((pair.reasons[metric] for pair in counted if metric in pair.reasons), f"{metric} was not asked for")
