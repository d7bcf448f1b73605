"""The text format, held to Prometheus' own parser."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine.metrics.exposition import exposition
from engine.metrics.histogram import Histogram
from protocol.metric_family import MetricFamily, Sample


def parsed(*families: MetricFamily) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels, as Prometheus understands it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(families))
        for sample in family.samples
    }


def make_gauge(*samples: Sample, text: str = "Some help.") -> MetricFamily:
    return MetricFamily(name="engine_gauge_bytes", kind="gauge", help=text, samples=samples)


def test_it_looks_like_this() -> None:
    histogram = Histogram((0.5, 1.0))
    for value in (0.25, 0.75, 0.75, 3.0):
        histogram.observe(value)
    families = (
        MetricFamily(
            name="engine_executions_total",
            kind="counter",
            help="Executions.",
            samples=(Sample(labels={"model": "tiny", "policy": "default"}, value=3),),
        ),
        MetricFamily(name="engine_wait_seconds", kind="histogram", help="Waits.", histograms=(histogram.sample({}),)),
    )
    assert exposition(families).splitlines() == [
        "# HELP engine_executions_total Executions.",
        "# TYPE engine_executions_total counter",
        'engine_executions_total{model="tiny",policy="default"} 3',
        "# HELP engine_wait_seconds Waits.",
        "# TYPE engine_wait_seconds histogram",
        'engine_wait_seconds_bucket{le="0.5"} 1',
        'engine_wait_seconds_bucket{le="1"} 3',
        'engine_wait_seconds_bucket{le="+Inf"} 4',
        "engine_wait_seconds_sum 4.75",
        "engine_wait_seconds_count 4",
    ]


def test_what_is_not_known_is_not_there() -> None:
    assert exposition((make_gauge(),)) == ""


def test_types_and_help_are_understood() -> None:
    text = exposition((make_gauge(Sample(labels={}, value=1), text="Back\\slash,\nsecond line."),))
    (family,) = text_string_to_metric_families(text)
    assert (family.name, family.type, family.documentation) == (
        "engine_gauge_bytes",
        "gauge",
        "Back\\slash,\nsecond line.",
    )


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_labels_may_say_anything(text: str) -> None:
    gauge = make_gauge(Sample(labels={"model": text, "other": "x"}, value=1.0))
    lines = exposition((gauge,)).removesuffix("\n").split("\n")
    assert len(lines) == 3
    assert parsed(gauge) == {("engine_gauge_bytes", (("model", text), ("other", "x"))): 1.0}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_bit(value: float) -> None:
    assert parsed(make_gauge(Sample(labels={}, value=value))) == {("engine_gauge_bytes", ()): value}


@given(st.lists(st.floats(0, 10), min_size=1))
def test_buckets_hold_all_below_their_bound(values: list[float]) -> None:
    histogram = Histogram((1.0, 2.5, 5.0))
    for value in values:
        histogram.observe(value)
    family = MetricFamily(name="w_seconds", kind="histogram", help="", histograms=(histogram.sample({"a": "b"}),))
    samples = parsed(family)
    for bound in (1.0, 2.5, 5.0, math.inf):
        (count,) = (
            count
            for (name, labels), count in samples.items()
            if name == "w_seconds_bucket" and float(dict(labels)["le"]) == bound
        )
        assert count == sum(value <= bound for value in values)
    assert samples["w_seconds_count", (("a", "b"),)] == len(values)
