"""Records of earlier engines stay readable; what those did not measure is unknown, with a reason, and never 0."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.records.comparison import compare_variant
from protocol.metrics import PHASES
from protocol.record import ExecutionRecord
from tests.tools.executions import make_metrics, make_record

SCHEMA_5 = Path(__file__).parents[1] / "golden" / "record_of_schema_5.json"
"""A record from before plans of schema 6: it has the largest size of its process, in MiB, as
``memory_peak_mb``."""


def earlier_record() -> ExecutionRecord:
    return ExecutionRecord.model_validate_json(SCHEMA_5.read_bytes())


def test_an_earlier_record_is_read() -> None:
    record = earlier_record()
    assert (record.plan.schema_version, record.plan.token_times) == (5, False)
    assert (record.model, record.backend, record.quantization) == ("tiny", "cpu_avx2", "native")
    assert (record.token_times_ms, record.unjudged_limits) == (None, None)


def test_what_it_did_not_measure_is_unknown_and_the_rest_as_it_was() -> None:
    metrics = earlier_record().metrics
    known = {name: getattr(metrics, name) for name in PHASES}
    assert known == dict.fromkeys(PHASES) | {"queue_ms": 1.5, "load_ms": 0.0, "prefill_ms": 12.5}
    assert (metrics.tokens_per_sec, metrics.latency_total_ms, metrics.ttft_ms) == (80.0, 37.5, 14.5)
    assert (metrics.wall_ms, metrics.cpu_user_ms, metrics.cpu_system_ms, metrics.cpu_share) == (None,) * 4
    assert metrics.cpu.reason


def test_it_may_be_compared_as_far_as_it_tells() -> None:
    earlier = earlier_record()
    later = make_record(
        execution_id="later", engine_version="0.1.0", plan=earlier.plan, metrics=make_metrics(memory_peak_mb=12.5)
    )
    ratios = compare_variant(earlier, later, ()).ratios
    memory = next(ratio for ratio in ratios if ratio.metric == "memory_peak_mb")
    assert (memory.ratio, memory.reason) == (None, "A: memory_peak_mb is not known")


def test_the_largest_size_of_a_process_is_not_taken_for_an_executions() -> None:
    metrics = earlier_record().metrics
    assert metrics.memory_peak_mb is None
    assert "whole process" in (metrics.memory.reason or "")


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = make_record(metrics=make_metrics(memory_peak_mb=12.5, wall_ms=3.0), token_times_ms=(1.5, 2.0, 2.5))
    assert ExecutionRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("field", ["model", "backend", "quantization"])
def test_names_beside_the_metrics_are_the_plans(field: str) -> None:
    others = {"model": "another", "backend": "reference", "quantization": "q8_0"}
    with pytest.raises(ValidationError, match="not those of the plan"):
        make_record(**{field: others[field]})
