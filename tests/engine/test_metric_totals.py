"""Records go in, what they come to comes out."""

from __future__ import annotations

from typing import Any

import pytest

from engine.metrics.exposition import exposition
from engine.metrics.metric_totals import MAX_LABEL_SETS, OTHER, MetricTotals
from protocol.metric_family import HistogramSample, MetricFamily
from protocol.metrics import EnergyReport, OperationTimes
from protocol.record import ExecutionRecord
from tests.engine.record_factory import plan_with, record_with
from tests.tools.executions import make_metrics

MS = 1_000_000
TINY = {"model": "tiny", "quantization": "native", "policy": "default"}


def make_finished(*, stop_reason: str = "eos", model: str = "tiny", policy: str = "default", **metrics: Any) -> Any:
    plan = plan_with(model_ref__name=model, scheduler_policy=policy)
    return record_with(plan, stop_reason=stop_reason, metrics=make_metrics(**metrics))


def totals_of(*records: ExecutionRecord, **options: int) -> MetricTotals:
    totals = MetricTotals(**options)
    for record in records:
        totals.add(record, ())
    return totals


def family(totals: MetricTotals, name: str) -> MetricFamily:
    return next(each for each in totals.families() if each.name == name)


def values(totals: MetricTotals, name: str) -> dict[tuple[str, ...], float]:
    """Values of a family's samples, by the values of their labels."""
    return {tuple(sample.labels.values()): sample.value for sample in family(totals, name).samples}


def only_histogram(totals: MetricTotals, name: str) -> HistogramSample:
    (histogram,) = family(totals, name).histograms
    return histogram


def test_executions_are_counted_by_what_they_were_and_how_they_ended() -> None:
    totals = totals_of(make_finished(), make_finished(), make_finished(stop_reason="cancelled", policy="cost"))
    assert values(totals, "engine_executions_total") == {
        ("tiny", "native", "default", "eos"): 2,
        ("tiny", "native", "cost", "cancelled"): 1,
    }
    assert values(totals, "engine_generated_tokens_total") == {
        ("tiny", "native", "default"): 6,
        ("tiny", "native", "cost"): 3,
    }
    assert values(totals, "engine_prompt_tokens_total")["tiny", "native", "cost"] == 2


def test_prompt_tokens_that_were_not_computed_are_told_apart() -> None:
    totals = totals_of(make_finished(cached_prompt_tokens=1), make_finished(cached_prompt_tokens=None))
    assert values(totals, "engine_prompt_tokens_total") == {("tiny", "native", "default"): 4}
    assert values(totals, "engine_cached_prompt_tokens_total") == {("tiny", "native", "default"): 1}


def test_drafted_tokens_are_counted_where_there_are_any() -> None:
    totals = totals_of(make_finished(drafted_tokens=9, accepted_tokens=4), make_finished(drafted_tokens=None))
    assert values(totals, "engine_drafted_tokens_total") == {("tiny", "native", "default"): 9}
    assert values(totals, "engine_accepted_tokens_total") == {("tiny", "native", "default"): 4}


def test_times_are_in_seconds_and_each_is_observed_once() -> None:
    totals = totals_of(make_finished(ttft_ms=30.0, queue_ms=2.0, prefill_ms=20.0, decode_ms=130.0))
    for name, seconds in (
        ("engine_time_to_first_token_seconds", 0.03),
        ("engine_queue_seconds", 0.002),
        ("engine_prefill_seconds", 0.02),
        ("engine_decode_seconds", 0.13),
    ):
        histogram = only_histogram(totals, name)
        assert (histogram.labels, histogram.count) == (TINY, 1), name
        assert histogram.sum == pytest.approx(seconds), name


def test_every_gap_between_tokens_is_observed() -> None:
    totals = MetricTotals()
    totals.add(make_finished(), [10 * MS, 14 * MS, 15 * MS, 115 * MS])
    totals.add(make_finished(), [7 * MS])
    histogram = only_histogram(totals, "engine_inter_token_seconds")
    by_bound = dict(zip((*histogram.bounds, None), histogram.counts, strict=True))
    assert histogram.count == 3
    assert (by_bound[0.001], by_bound[0.005], by_bound[0.1]) == (1, 1, 1)


def test_what_is_unknown_is_not_observed() -> None:
    totals = totals_of(make_finished(tokens_total=0, latency_gaps=0, ttft_ms=None))
    assert all(not each.histograms for each in totals.families())
    assert values(totals, "engine_energy_joules_total") == {}
    assert values(totals, "engine_executions_without_energy_total") == {("none",): 1}


def test_joules_of_different_worth_are_never_added() -> None:
    measured = EnergyReport(kind="measured", source="rapl", attributed_j=5.0)
    attributed = EnergyReport(kind="attributed", source="rapl", attributed_j=2.0)
    modelled = EnergyReport(kind="modelled", source="model", attributed_j=3.0)
    totals = totals_of(*(make_finished(energy=energy) for energy in (measured, attributed, modelled, measured)))
    assert values(totals, "engine_energy_joules_total") == {
        ("measured", "rapl"): 10.0,
        ("attributed", "rapl"): 2.0,
        ("modelled", "model"): 3.0,
    }
    assert values(totals, "engine_executions_without_energy_total") == {}


def test_operations_add_up_over_executions_that_measured_them() -> None:
    times = OperationTimes(**{**dict.fromkeys(OperationTimes.model_fields, 0.0), "matmul": 500.0, "attention": 20.0})
    totals = totals_of(make_finished(op_time_ms=times), make_finished(), make_finished(op_time_ms=times))
    seconds = values(totals, "engine_operation_seconds_total")
    assert (seconds["matmul",], seconds["attention",], seconds["norm",]) == (1.0, 0.04, 0.0)


def test_failures_are_counted_by_code() -> None:
    totals = MetricTotals()
    for code in ("overloaded", "unknown_model", "overloaded"):
        totals.add_failure(code)
    assert values(totals, "engine_failures_total") == {("overloaded",): 2, ("unknown_model",): 1}


def test_models_beyond_the_limit_are_counted_together() -> None:
    totals = totals_of(*(make_finished(model=model) for model in "abcbd"), max_label_sets=2)
    assert values(totals, "engine_executions_total") == {
        ("a", "native", "default", "eos"): 1,
        ("b", "native", "default", "eos"): 2,
        (OTHER, OTHER, OTHER, "eos"): 2,
    }


def test_a_thousand_models_take_no_more_than_a_frame() -> None:
    totals = MetricTotals()
    for i in range(1000):
        totals.add(make_finished(model=f"{i:0255}", ttft_ms=1.0, queue_ms=1.0, prefill_ms=1.0), [0, MS])
    assert len(values(totals, "engine_executions_total")) == MAX_LABEL_SETS + 1
    assert len(exposition(totals.families())) < 4 << 20
