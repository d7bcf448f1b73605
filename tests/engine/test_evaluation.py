"""An evaluation is seen, ended, and gives back what it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.operations.evaluation import Evaluation
from protocol.errors import ExecutionCancelled, NonFiniteResult, OutOfMemoryBudget
from protocol.evaluation import EvaluationRequest
from protocol.requests import Evaluate
from tests.engine.operation_stage import OperationStage, cancel_when_begun
from tests.support.damaged_models import ModelFile
from tests.support.gguf_factory import write_tiny_model

TEXT = "word after word after word " * 400


class Stage(OperationStage):
    def evaluation(self, model: Path, **fields: object) -> Evaluation:
        content = {"model": str(model), "text": TEXT, "backend": "reference", **fields}
        request = EvaluationRequest.model_validate(content)
        return Evaluation(Evaluate(request=request), self.planner, self.backend)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.backend.close()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def test_its_weights_are_idle_when_it_has_ended(stage: Stage, tiny: Path) -> None:
    evaluated = stage.evaluation(tiny, quantization="q8_0", against="native", max_windows=1, window=32).run()
    assert evaluated.quality.against_base is not None
    assert stage.in_use() == [False, False]


def test_it_is_seen_and_ended_from_another_thread(stage: Stage, tiny: Path) -> None:
    progress = cancel_when_begun(stage.evaluation(tiny, quantization="q8_0"), "windows")
    assert progress.stage == "evaluating"
    assert progress.total is not None
    assert progress.done < progress.total
    assert stage.in_use() == [False]


def test_cancelled_before_it_began_it_loads_nothing(stage: Stage, tiny: Path) -> None:
    evaluation = stage.evaluation(tiny)
    evaluation.cancel()
    with pytest.raises(ExecutionCancelled):
        evaluation.run()
    assert stage.in_use() == []


def test_what_its_windows_need_is_part_of_the_budget(tmp_path: Path, tiny: Path) -> None:
    stage = Stage(tmp_path)
    plan = stage.evaluation(tiny, max_windows=1).run().plan
    facts = stage.planner.registry.resolve(str(tiny)).facts()
    stage.backend.close()
    weights = facts.weights_bytes[plan.backend]
    stage = Stage(tmp_path, memory_limit_bytes=weights + (1 << 20))
    with pytest.raises(OutOfMemoryBudget):
        stage.evaluation(tiny, max_windows=1).run()
    assert stage.in_use() == []
    stage.backend.close()


def test_weights_that_give_no_numbers_give_no_figures(stage: Stage, tmp_path: Path) -> None:
    whole = ModelFile(write_tiny_model(tmp_path / "whole.gguf"))
    path = whole.scaled(tmp_path / "broken.gguf", "blk.1.attn_v.weight", 1e12)
    with pytest.raises(NonFiniteResult, match=r"broken: .* the attention of layer 1 gave values") as failure:
        stage.evaluation(path, max_windows=1).run()
    assert failure.value.params == {"model": "broken", "part": "attention", "layer": 1, "position": 0}
    assert stage.in_use() == [False]
