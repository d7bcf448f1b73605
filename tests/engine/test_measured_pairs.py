"""What a pair of executions tells, and what keeps it from telling anything."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.experiments.disturbance import disturbance
from engine.experiments.open_experiment import measured_pair
from protocol.experiment import ExperimentMetric, MeasuredPair, ScheduledRun
from protocol.metrics import CpuReport
from protocol.record import ExecutionRecord
from tests.engine.compared_records import power, speed
from tests.engine.record_factory import measured, record_with

METRICS: tuple[ExperimentMetric, ...] = ("tokens_per_sec", "tokens_per_watt", "joules_total", "memory_peak_mb")
ALONE = CpuReport(share=1.0)


def made(name: str, tokens_per_sec: float = 100.0, **changes: Any) -> ExecutionRecord:
    figures = speed(tokens_per_sec, latency_total_ms=30.0, cpu=ALONE, energy=measured())
    return record_with(**{"execution_id": name, "metrics": figures, **changes})


def pair_of(baseline: ExecutionRecord, candidate: ExecutionRecord, *, baseline_first: bool = True) -> MeasuredPair:
    halves = [(ScheduledRun(arm=0, input=2, pair=5), baseline), (ScheduledRun(arm=1, input=2, pair=5), candidate)]
    first, second = halves if baseline_first else halves[::-1]
    return measured_pair(first, second, METRICS)


@pytest.mark.parametrize("baseline_first", [True, False])
def test_a_ratio_is_the_candidates_by_the_baselines_whoever_was_first(baseline_first: bool) -> None:
    pair = pair_of(made("a", 100.0), made("b", 125.0), baseline_first=baseline_first)
    assert (pair.pair, pair.arm, pair.input, pair.baseline_first) == (5, 1, 2, baseline_first)
    assert (pair.baseline_execution, pair.candidate_execution) == ("a", "b")
    assert pair.log_ratios["tokens_per_sec"] == pytest.approx(math.log(1.25))
    assert (pair.undisturbed, pair.same_output) == (True, True)


def test_energy_counts_where_both_measured_it() -> None:
    both = pair_of(made("a", metrics=power(10.0, measured())), made("b", metrics=power(8.0, measured())))
    assert both.log_ratios["tokens_per_watt"] == pytest.approx(math.log(10 / 8))
    modelled = power(8.0, measured(kind="modelled", source="model"))
    one = pair_of(made("a", metrics=power(10.0, measured())), made("b", metrics=modelled))
    assert one.log_ratios["tokens_per_watt"] is None
    assert "modelled" in one.reasons["tokens_per_watt"]
    contended = power(8.0, measured(contended=True))
    other = pair_of(made("a", metrics=power(10.0, measured())), made("b", metrics=contended))
    assert "other processes" in other.reasons["tokens_per_watt"]


def test_figures_that_grow_with_tokens_need_equal_numbers_of_them() -> None:
    a = made("a", metrics=speed(100.0, memory_peak_mb=10.0, cpu=ALONE, energy=measured()))
    b = made("b", metrics=speed(100.0, memory_peak_mb=20.0, cpu=ALONE, energy=measured(), tokens_total=9))
    pair = pair_of(a, b)
    assert pair.log_ratios["memory_peak_mb"] is None
    assert pair.reasons["memory_peak_mb"] == "A generated 3 tokens and B 9"
    assert pair.log_ratios["tokens_per_sec"] == 0.0


def test_a_prompt_found_in_the_prefix_cache_is_no_merit() -> None:
    figures = speed(500.0, cached_prompt_tokens=64, cpu=ALONE, energy=measured())
    pair = pair_of(made("a"), made("b", metrics=figures))
    assert "prefix cache" in pair.reasons["tokens_per_sec"]


@pytest.mark.parametrize(
    "changes", [{"token_ids": (7, 8, 1)}, {"logits_digest": "1" * 32}, {"token_ids": (7, 8), "result": "He"}]
)
def test_another_output_shows(changes: dict[str, Any]) -> None:
    assert pair_of(made("a"), made("b", **changes)).same_output is False


@pytest.mark.parametrize(
    ("changes", "undisturbed", "reason"),
    [
        ({}, True, None),
        ({"energy": measured(contended=True, others_cpu_share=0.4)}, False, "40% of the machine's CPU time"),
        ({"cpu": CpuReport(share=0.75)}, False, "25% of the engine's computing time"),
        ({"cpu": CpuReport(reason="other work")}, False, "other work"),
        ({"cpu": CpuReport(reason="no step"), "latency_total_ms": None}, None, "no step"),
        ({"energy": measured(contended=None)}, None, "too short to tell"),
    ],
)
def test_what_disturbs_an_execution_is_told(
    changes: dict[str, Any], undisturbed: bool | None, reason: str | None
) -> None:
    figures = speed(100.0, **{"latency_total_ms": 30.0, "cpu": ALONE, "energy": measured(), **changes})
    found, why = disturbance(made("a", metrics=figures))
    assert found is undisturbed
    assert reason is None or reason in (why or "")
    assert pair_of(made("a"), made("b", metrics=figures)).undisturbed is undisturbed
