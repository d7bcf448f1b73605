"""Records to be put side by side, and what is found in the answers."""

from __future__ import annotations

from typing import Any

import pytest

from engine.records.comparison import compare_repeat, compare_variant
from protocol.comparison import MetricRatio, RepeatVerdict, ToleranceVerdict, VariantComparison
from protocol.errors import IncomparableExecutions
from protocol.metrics import EnergyReport, ExecutionMetrics
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord, Hardware
from tests.engine.record_factory import metrics, record_with

MODELLED = "its energy is modelled, not measured: a formula of busy time tells no plan from another"
HARDWARE = Hardware(cpu_model="test", kernel_path="cpu_avx2", threads=2)


def first(**changes: Any) -> ExecutionRecord:
    return record_with(**{"execution_id": "a", "metrics": metrics(tokens_per_sec=100.0), **changes})


def second(plan: ExecutionPlan | None = None, **changes: Any) -> ExecutionRecord:
    return record_with(plan, **{"execution_id": "b", "metrics": metrics(tokens_per_sec=100.0), **changes})


def speed(tokens_per_sec: float | None, **changes: Any) -> ExecutionMetrics:
    made: ExecutionMetrics = metrics(tokens_per_sec=tokens_per_sec, **changes)
    return made


def power(watts: float | None, energy: EnergyReport, tokens_per_sec: float = 100.0) -> ExecutionMetrics:
    per_watt = None if not watts else tokens_per_sec / watts
    return speed(tokens_per_sec, watts_avg=watts, tokens_per_watt=per_watt, energy=energy)


def verdict_on(name: str, verdict: RepeatVerdict) -> ToleranceVerdict:
    return next(metric for metric in verdict.metrics if metric.metric == name)


def ratio_of(name: str, result: VariantComparison) -> MetricRatio:
    return next(ratio for ratio in result.ratios if ratio.metric == name)


def refused(a: ExecutionRecord, b: ExecutionRecord, *fields: str) -> dict[str, tuple[Any, Any]]:
    with pytest.raises(IncomparableExecutions) as error:
        compare_variant(a, b, fields) if fields else compare_repeat(a, b)
    differences = error.value.params["differences"]
    assert all(difference["field"] in error.value.message for difference in differences)
    return {difference["field"]: (difference["a"], difference["b"]) for difference in differences}
