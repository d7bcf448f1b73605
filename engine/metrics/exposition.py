"""Metrics in the text format that Prometheus reads, version 0.0.4. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from protocol.metric_family import HistogramSample, MetricFamily


def exposition(families: Sequence[MetricFamily]) -> str:
    """The families as text, each under its help and type; one without samples is left out."""
    lines = (line for family in families if family.samples or family.histograms for line in _family(family))
    return "".join(f"{line}\n" for line in lines)


def _family(family: MetricFamily) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        yield _line(family.name, sample.labels, sample.value)
    for histogram in family.histograms:
        yield from _histogram(family.name, histogram)


def _histogram(name: str, histogram: HistogramSample) -> Iterator[str]:
    """Buckets count all that is not above their bound, and so each includes those before it."""
    bounds = (*map(_number, histogram.bounds), "+Inf")
    for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
        yield _line(f"{name}_bucket", {**histogram.labels, "le": bound}, count)
    yield _line(f"{name}_sum", histogram.labels, histogram.sum)
    yield _line(f"{name}_count", histogram.labels, histogram.count)


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text, quoted=True)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _escaped(text: str, *, quoted: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quoted else escaped
