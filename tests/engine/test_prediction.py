"""A prediction is drawn from what is alike, and from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from engine.identity.version import ENGINE_VERSION
from engine.records.prediction import predict
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord
from protocol.speculation import PlanSpeculation
from tests.tools.executions import make_plan, make_record

CPU = "Test CPU"


def record(speed: float | None, plan: ExecutionPlan, **changes: Any) -> ExecutionRecord:
    base = make_record(plan=plan)
    metrics = base.metrics.model_copy(update={"decode_tokens_per_sec": speed, **changes.pop("metrics", {})})
    hardware = base.hardware.model_copy(update={"cpu_model": changes.pop("cpu_model", CPU)})
    update = {"metrics": metrics, "hardware": hardware, "engine_version": ENGINE_VERSION, **changes}
    return base.model_copy(update=update)


def test_it_is_the_median_of_those_alike() -> None:
    plan = make_plan()
    found = predict(plan, CPU, ENGINE_VERSION, [record(speed, plan) for speed in (10.0, 30.0, 12.0, None)])
    assert (found.executions, found.decode_tokens_per_sec) == (4, 12.0)


@pytest.mark.parametrize("other", [{"cpu_model": "Another"}, {"engine_version": "0.0.0"}])
def test_other_machines_and_versions_do_not_count(other: dict[str, str]) -> None:
    plan = make_plan()
    found = predict(plan, CPU, ENGINE_VERSION, [record(10.0, plan, **other)])
    assert (found.executions, found.decode_tokens_per_sec) == (0, None)
    assert "no execution" in found.reason


def test_other_decisions_do_not_count_and_those_that_do_not_matter_do() -> None:
    plan = make_plan()
    drafting = PlanSpeculation(kind="lookup", max_rows=8, row_cost=0.4)
    others = ({"threads": plan.threads + 1}, {"quantization": "q6_k"}, {"kv_cache": "q8_0"}, {"speculation": drafting})
    for update in others:
        assert predict(plan.model_copy(update=update), CPU, ENGINE_VERSION, [record(10.0, plan)]).executions == 0
    reference = plan.model_ref.model_copy(update={"name": "there", "path": "/there"})
    found_there = PlanSpeculation(kind="draft", model=reference, quantization="native", max_rows=8, row_cost=0.4)
    found_here = found_there.model_copy(update={"model": plan.model_ref})
    elsewhere, here = (plan.model_copy(update={"speculation": one}) for one in (found_there, found_here))
    assert predict(here, CPU, ENGINE_VERSION, [record(10.0, elsewhere)]).executions == 1
    longer = plan.model_copy(update={"limits": plan.limits.model_copy(update={"max_tokens": 9})})
    assert predict(longer, CPU, ENGINE_VERSION, [record(10.0, plan)]).executions == 1


def test_watts_come_from_what_was_measured_alone() -> None:
    plan = make_plan()
    energy = record(10.0, plan).metrics.energy
    modelled = {"watts_avg": 99.0, "energy": energy.model_copy(update={"kind": "modelled"})}
    measured = {"watts_avg": 20.0, "energy": energy.model_copy(update={"kind": "measured"})}
    found = predict(
        plan, CPU, ENGINE_VERSION, [record(10.0, plan, metrics=modelled), record(10.0, plan, metrics=measured)]
    )
    assert found.watts_avg == 20.0
