"""A plan that comes back to another machine, another operator, or after its model has changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.planning.planner import Planner
from protocol.errors import InvalidPlan, OutOfMemoryBudget, UnsupportedBackend
from protocol.plan import RunRequest
from tests.engine.operation_stage import OperationStage
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    write_tiny_model(tmp_path / "tiny.gguf")
    return OperationStage(tmp_path).planner


def test_a_backend_that_is_not_here_is_named(planner: Planner) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    here = dataclasses.replace(planner.machine, kernel_tables={"cpu_avx2": "no AVX2", "reference": ""})
    with pytest.raises(UnsupportedBackend, match="no AVX2") as refused:
        dataclasses.replace(planner, machine=here).prepare(
            RunRequest(plan=plan.model_copy(update={"backend": "cpu_avx2"}), prompt="once")
        )
    assert refused.value.params["field"] == "plan.backend"


def test_the_operators_memory_bounds_a_plan_that_allows_itself_more(planner: Planner) -> None:
    asked = RunRequest.model_validate(
        {"model": "tiny", "prompt": "once", "execution": {"limits": {"memory_mb": 1000}, "prefill_chunk": 4096}}
    )
    plan = planner.prepare(asked).plan
    small = dataclasses.replace(planner, config=dataclasses.replace(planner.config, memory_mb=1))
    with pytest.raises(OutOfMemoryBudget, match="the limit is 1 MB"):
        small.prepare(RunRequest(plan=plan, prompt="once"))


def test_a_model_whose_content_has_changed_is_named_by_its_hash(planner: Planner, tmp_path: Path) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    write_tiny_model(tmp_path / "other.gguf", seed=8)
    with pytest.raises(InvalidPlan, match="has sha256:") as refused:
        planner.prepare(RunRequest(plan=plan, model="other", prompt="once"))
    assert refused.value.params["field"] == "plan.model_ref.content_hash"


def test_a_file_by_another_name_is_the_same_model(planner: Planner, tmp_path: Path) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    write_tiny_model(tmp_path / "copy.gguf")
    taken = planner.prepare(RunRequest(plan=plan, model="copy", prompt="once"))
    assert taken.fingerprint == plan.fingerprint
    assert taken.plan.model_ref.name == "copy"
