"""Records of earlier engines stay readable; what those did not measure is unknown, with a reason, and never 0."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.metrics import PHASES
from protocol.record import ExecutionRecord
from tests.tools.executions import make_metrics, make_record

ADDED_FIGURES = (
    *("wall_ms", "plan_ms", "start_ms", "decode_ms", "finish_ms"),
    *("memory", "cpu", "cpu_user_ms", "cpu_system_ms", "cpu_share"),
)


def earlier_record() -> dict[str, Any]:
    """As version 0.1.0 wrote it at first: the largest size of its process, in MiB, as ``memory_peak_mb``."""
    metrics = make_metrics(queue_ms=1.5, load_ms=0.0, prefill_ms=8.0)
    content = make_record(metrics=metrics).model_dump(mode="json")
    for name in ("model", "backend", "quantization", "unjudged_limits", "token_times_ms"):
        del content[name]
    del content["plan"]["token_times"]
    for name in ADDED_FIGURES:
        del content["metrics"][name]
    content["metrics"]["memory_peak_mb"] = 631.25
    return content


def test_an_earlier_record_is_read() -> None:
    record = ExecutionRecord.model_validate_json(json.dumps(earlier_record()))
    assert (record.model, record.backend, record.quantization) == ("tiny", "cpu_avx2", "native")
    assert not record.plan.token_times
    assert record.token_times_ms is None
    metrics = record.metrics
    known = {name: getattr(metrics, name) for name in PHASES}
    assert known == dict.fromkeys(PHASES) | {"queue_ms": 1.5, "load_ms": 0.0, "prefill_ms": 8.0}
    assert (metrics.wall_ms, metrics.cpu_user_ms, metrics.cpu_share) == (None, None, None)
    assert metrics.cpu.reason
    assert record.unjudged_limits is None


def test_the_largest_size_of_a_process_is_not_taken_for_an_executions() -> None:
    metrics = ExecutionRecord.model_validate_json(json.dumps(earlier_record())).metrics
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
