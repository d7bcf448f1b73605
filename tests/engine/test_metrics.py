from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.metrics import compute_metrics, nearest_rank
from engine.metrics.phases import Timeline
from protocol.metrics import CpuReport, EnergyReport, ExecutionMetrics, MemoryReport, OperationTimes
from tests.engine.timeline_factory import MS, make_timeline

UNKNOWN = EnergyReport(kind="unavailable", source="none", reason="no meter")


def metrics_of(
    timeline: Timeline,
    energy: EnergyReport,
    memory: MemoryReport | None = None,
    cpu: CpuReport | None = None,
    operation_ns: Mapping[str, int] | None = None,
) -> ExecutionMetrics:
    return compute_metrics(timeline, energy, memory or MemoryReport(), cpu or CpuReport(), operation_ns)


def test_times_follow_their_formulas() -> None:
    metrics = metrics_of(make_timeline(), UNKNOWN)
    assert metrics.tokens_total == 5
    assert metrics.latency_total_ms == 100.0
    assert metrics.tokens_per_sec == 50.0
    assert (metrics.latency_p50_ms, metrics.latency_p95_ms, metrics.latency_gaps) == (10.0, 50.0, 4)
    assert (metrics.ttft_ms, metrics.queue_ms, metrics.load_ms) == (30.0, 2.0, 2.0)
    assert (metrics.prefill_ms, metrics.prefill_tokens_per_sec) == (20.0, 1000.0)
    assert metrics.decode_tokens_per_sec == 50.0
    assert (metrics.wall_ms, metrics.plan_ms, metrics.start_ms, metrics.finish_ms) == (111.0, 1.0, 5.0, 1.0)
    assert metrics.decode_ms == 80.0


def test_a_prefill_rate_counts_what_was_computed() -> None:
    timeline = replace(make_timeline(), cached_prompt_tokens=15)
    metrics = metrics_of(timeline, UNKNOWN)
    assert (metrics.prompt_tokens, metrics.cached_prompt_tokens) == (20, 15)
    assert metrics.prefill_tokens_per_sec == 250.0


def test_drafts_of_all_choices_count() -> None:
    assert metrics_of(make_timeline(), UNKNOWN).drafted_tokens is None
    metrics = metrics_of(replace(make_timeline(), drafts=((10, 4), (5, 5))), UNKNOWN)
    assert (metrics.drafted_tokens, metrics.accepted_tokens) == (15, 9)


def test_a_draft_models_time_and_joules_are_parts_of_the_executions() -> None:
    energy = EnergyReport(kind="measured", source="rapl", package_j=2.0, attributed_j=2.0)
    timeline = replace(make_timeline(), draft_ns=25_000_000, compute_ns=100_000_000)
    metrics = metrics_of(timeline, energy)
    assert (metrics.draft_ms, metrics.draft_joules) == (25.0, 0.5)
    assert metrics_of(timeline, UNKNOWN).draft_joules is None
    assert metrics_of(replace(timeline, compute_ns=None), energy).draft_joules is None
    none = metrics_of(make_timeline(), energy)
    assert (none.draft_ms, none.draft_joules) == (None, None)


def test_energy_follows_its_formulas() -> None:
    energy = EnergyReport(kind="measured", source="rapl", package_j=2.0, attributed_j=2.0)
    metrics = metrics_of(make_timeline(), energy)
    assert metrics.joules_total == 2.0
    assert metrics.watts_avg == 20.0
    assert metrics.tokens_per_watt == 2.5
    assert metrics.joules_per_token == 0.4


def test_what_is_unknown_is_none_and_never_zero() -> None:
    metrics = metrics_of(Timeline(received_ns=0, prompt_tokens=3, ended_ns=2 * MS), UNKNOWN)
    assert metrics.tokens_total == 0
    known = {"tokens_total", "prompt_tokens", "latency_gaps", "wall_ms", "plan_ms", "energy", "memory", "cpu"}
    figures = metrics.model_dump(exclude=known)
    assert set(figures.values()) == {None}
    assert (metrics.wall_ms, metrics.plan_ms) == (2.0, 2.0)
    assert metrics.energy.reason == "no meter"


def test_times_of_operations_are_milliseconds() -> None:
    operation_ns = {**dict.fromkeys(OperationTimes.model_fields, 0), "matmul": 12_500_000, "wait": 250_000}
    times = metrics_of(make_timeline(), UNKNOWN, operation_ns=operation_ns).op_time_ms
    assert times is not None
    assert (times.matmul, times.wait, times.attention) == (12.5, 0.25, 0.0)


def test_one_token_has_no_gaps() -> None:
    timeline = Timeline(received_ns=0, prompt_tokens=3, ended_ns=4 * MS, prefill_start_ns=0, token_times_ns=(4 * MS,))
    metrics = metrics_of(timeline, UNKNOWN)
    assert metrics.tokens_per_sec == 250.0
    assert (metrics.latency_p50_ms, metrics.decode_tokens_per_sec, metrics.latency_gaps) == (None, None, 0)


def test_no_energy_measured_is_no_reason_to_divide_by_it() -> None:
    energy = EnergyReport(kind="measured", source="rapl", package_j=0.0, attributed_j=0.0)
    metrics = metrics_of(make_timeline(), energy)
    assert (metrics.joules_total, metrics.watts_avg, metrics.tokens_per_watt) == (0.0, 0.0, None)


@pytest.mark.parametrize(("percent", "expected"), [(1, 10.0), (50, 20.0), (75, 30.0), (76, 40.0), (100, 40.0)])
def test_nearest_rank_is_always_one_of_the_values(percent: float, expected: float) -> None:
    assert nearest_rank([40.0, 10.0, 30.0, 20.0], percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_nearest_rank_leaves_enough_values_at_or_below(values: list[float], percent: int) -> None:
    rank = nearest_rank(values, percent)
    assert rank is not None
    assert sum(value <= rank for value in values) >= percent / 100 * len(values)
    assert sum(value < rank for value in values) < percent / 100 * len(values)


def test_nothing_has_no_percentile() -> None:
    assert nearest_rank([], 50) is None


def test_choices_count_together_and_have_gaps_of_their_own() -> None:
    timeline = replace(make_timeline(), other_times_ns=(tuple(time * MS for time in (30, 45, 130)), ()))
    metrics = metrics_of(timeline, UNKNOWN)
    assert (metrics.tokens_total, metrics.latency_total_ms) == (8, 120.0)
    assert (metrics.latency_gaps, metrics.latency_p50_ms, metrics.latency_p95_ms) == (6, 10.0, 85.0)
    assert metrics.decode_tokens_per_sec == 60.0


def test_memory_is_in_millions_of_bytes_and_counts_what_the_engine_grew_by_once() -> None:
    memory = MemoryReport(weights_bytes=90_000_000, kv_cache_bytes=6_000_000, buffers_bytes=4_000_000)
    assert metrics_of(make_timeline(), UNKNOWN, memory).memory_peak_mb == 100.0
    grown = [memory.model_copy(update={"growth_bytes": growth}) for growth in (-4096, 10**7, 10**8)]
    assert [metrics_of(make_timeline(), UNKNOWN, each).memory_peak_mb for each in grown] == [100.0, 100.0, 190.0]


def test_half_known_memory_has_no_peak() -> None:
    assert metrics_of(make_timeline(), UNKNOWN, MemoryReport(weights_bytes=90_000_000)).memory_peak_mb is None


def test_cpu_time_is_the_executions_share_of_the_process() -> None:
    cpu = CpuReport(window_ms=100.0, process_user_ms=120.0, process_system_ms=40.0, cpus=4, share=0.5)
    metrics = metrics_of(make_timeline(), UNKNOWN, cpu=cpu)
    assert (metrics.cpu_user_ms, metrics.cpu_system_ms, metrics.cpu_share) == (60.0, 20.0, 0.2)
    unknown = metrics_of(make_timeline(), UNKNOWN, cpu=cpu.model_copy(update={"share": None}))
    assert (unknown.cpu_user_ms, unknown.cpu_system_ms, unknown.cpu_share) == (None, None, None)
