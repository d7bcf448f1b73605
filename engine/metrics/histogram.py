"""Observations counted by size, so that any number of them takes the same memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import pairwise

from protocol.metric_family import HistogramSample

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""For waits and whole phases: from a warm first token of a small model to a long prompt of a large one."""
TOKEN_BOUNDS_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
"""For the gap between two tokens: finer, around what a person reads at."""


class Histogram:
    """Counts of observations by bucket."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """``bounds``: of the buckets, each included. Raises ValueError: they do not rise."""
        if any(lower >= upper for lower, upper in pairwise(bounds)):
            raise ValueError(f"the bounds of a histogram rise: {bounds}")
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def sample(self, labels: Mapping[str, str]) -> HistogramSample:
        """The counts so far, under labels."""
        return HistogramSample(labels=dict(labels), bounds=self._bounds, counts=tuple(self._counts), sum=self._sum)
