from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.histogram import LATENCY_BOUNDS_S, TOKEN_BOUNDS_S, Histogram


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.5, 99.0):
        histogram.observe(value)
    sample = histogram.sample({"model": "tiny"})
    assert (sample.bounds, sample.counts, sample.labels) == ((1.0, 2.0), (2, 2, 2), {"model": "tiny"})
    assert (sample.count, sample.sum) == (6, 106.0)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (1.0, 1.0)])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Histogram(bounds)


@given(st.lists(st.floats(0, 1e6)), st.sampled_from([LATENCY_BOUNDS_S, TOKEN_BOUNDS_S]))
def test_every_observation_is_in_the_first_bucket_that_holds_it(values: list[float], bounds: tuple[float, ...]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    counts = histogram.sample({}).counts
    assert sum(counts) == len(values)
    for i, bound in enumerate(bounds):
        assert sum(counts[: i + 1]) == sum(value <= bound for value in values)
