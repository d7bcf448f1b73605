"""Where an answer ends, from a request to its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.planning.planner import Planner
from protocol.errors import InvalidRequest
from protocol.plan import ExecutionRequest, PlanStop, RunRequest, Stop
from tests.engine.operation_stage import OperationStage
from tests.support.gguf_factory import write_tiny_model
from tests.support.gguf_vocabulary import tiny_bpe

TOKENS = tiny_bpe().tokens


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    write_tiny_model(tmp_path / "tiny.gguf")
    return OperationStage(tmp_path).planner


def planned_stop(planner: Planner, **stop: Any) -> PlanStop:
    request = RunRequest(model="tiny", prompt="once", execution=ExecutionRequest(stop=Stop(**stop)))
    plan = planner.prepare(request).plan
    assert planner.prepare(RunRequest(plan=plan, prompt="once")).plan == plan
    return plan.stop


def test_a_stop_string_that_spells_a_control_token_is_that_token_too(planner: Planner) -> None:
    stop = planned_stop(planner, eos=False, strings=("END", "<|im_start|>", "<|im_end|>", "<|im_start|>"))
    assert stop.string_token_ids == (TOKENS.index("<|im_start|>"), TOKENS.index("<|im_end|>"))


def test_token_ids_are_taken_as_they_are(planner: Planner) -> None:
    assert planned_stop(planner, token_ids=(17, 3)).token_ids == (17, 3)
    assert planned_stop(planner).token_ids == ()


def test_a_token_that_the_model_lacks_is_named(planner: Planner) -> None:
    with pytest.raises(InvalidRequest, match=f"no token {len(TOKENS)};") as refused:
        planned_stop(planner, token_ids=(3, len(TOKENS)))
    assert refused.value.params["field"] == "execution.stop.token_ids.1"
