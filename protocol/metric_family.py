"""What the engine counts and measures over all it does, as monitoring systems take it."""

from __future__ import annotations

from typing import Literal

from protocol.value import Value


class Sample(Value):
    """One value of a counter or gauge."""

    labels: dict[str, str]
    value: float


class HistogramSample(Value):
    """The counts of one histogram."""

    labels: dict[str, str]
    bounds: tuple[float, ...]
    """Upper bounds of the buckets, each included, rising; one bucket more has none."""
    counts: tuple[int, ...]
    """Observations in each bucket alone, one more than there are bounds."""
    sum: float
    """The sum of all observations."""

    @property
    def count(self) -> int:
        """The number of observations."""
        return sum(self.counts)


class MetricFamily(Value):
    """Samples of one name and unit. What is not known has no sample: it is never 0."""

    name: str
    """Ends in the base unit, and where it counts in ``_total``."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: tuple[Sample, ...] = ()
    """Samples of counters and gauges."""
    histograms: tuple[HistogramSample, ...] = ()
    """Samples of histograms."""
