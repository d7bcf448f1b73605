"""A plan with a draft model, planned with real files and carried out by the real backend."""

from __future__ import annotations

import json
import select
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.cpu.cpu_backend import CpuBackend
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.weights.weights_cache import WeightsCache
from protocol.errors import (
    ExecutionCancelled,
    InternalError,
    InvalidModel,
    InvalidPlan,
    OutOfMemoryBudget,
    UnknownModel,
)
from protocol.plan import RunRequest
from tests.engine.backend_bench import MACHINE, PATIENCE_S
from tests.support.gguf_factory import write_tiny_model

NO_ENERGY = {"none": ""}


class Stage:
    """A planner and a backend, with two models of one vocabulary."""

    def __init__(self, directory: Path) -> None:
        config = EngineConfig(directory, directory / "cache", directory)
        self.registry = ModelRegistry(config)
        self.cache = WeightsCache.of(config)
        self.planner = Planner(self.registry, config, MACHINE, NO_ENERGY)
        self.backend = CpuBackend(self.registry, self.cache, lambda: None)
        self.model = write_tiny_model(directory / "tiny.gguf")
        self.draft = write_tiny_model(directory / "small.gguf", n_layer=1)

    def plan(self, **execution: Any) -> PlannedExecution:
        execution = {"stop": {"eos": False}, "limits": {"max_tokens": 40}, **execution}
        content = {"model": "tiny", "prompt": "Hello", "execution": execution}
        return self.planner.prepare(RunRequest.model_validate_json(json.dumps(content)))

    def drafting(self, model: str = "small", **more: Any) -> PlannedExecution:
        free = {"row_cost": 0.0, "draft_cost": 0.0}
        return self.plan(speculation={"kind": "draft", "model": model, **free, **more})

    def run(self, planned: PlannedExecution, sequence_id: int) -> tuple[list[int], str, int, int]:
        """Token ids, digest, drafted tokens and the draft model's time."""
        model = self.backend.load(planned).run()
        self.backend.submit(sequence_id, model, planned)
        self.backend.release(model)
        token_ids: list[int] = []
        while True:
            assert select.select([self.backend.event_fd], [], [], PATIENCE_S)[0], "the run loop went silent"
            for events in self.backend.drain():
                token_ids += events.token_ids
                if events.stop_reason is not None:
                    assert events.stop_reason == "max_tokens"
                    return token_ids, events.logits_digest, events.drafted_tokens, events.draft_ns

    def in_use(self) -> dict[str, bool]:
        return {f"{one.model} {one.quantization}": one.in_use for one in self.backend.statistics().models}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_any_model_that_guesses_gives_the_same(stage: Stage) -> None:
    off = stage.run(stage.plan(), 1)
    free = {"row_cost": 0.0, "draft_cost": 0.0}
    own = stage.plan(speculation={"kind": "self", "quantization": "q8_0", **free})
    for sequence_id, planned in enumerate((stage.drafting(), stage.drafting(quantization="q8_0"), own), start=2):
        drafted = stage.run(planned, sequence_id)
        assert drafted[:2] == off[:2]
        assert drafted[2] > 0
        assert drafted[3] > 0
    assert stage.in_use() == dict.fromkeys(("tiny native", "small native", "small q8_0", "tiny q8_0"), False)


def test_both_models_are_held_while_a_sequence_runs(stage: Stage) -> None:
    planned = stage.drafting()
    assert stage.backend.loaded(planned.plan) is None
    model = stage.backend.load(planned).run()
    assert model.weights_bytes == planned.estimate.weights_bytes
    assert stage.in_use() == {"tiny native": True, "small native": True}
    stage.backend.release(model)
    assert stage.in_use() == {"tiny native": False, "small native": False}
    again = stage.backend.loaded(planned.plan)
    assert again is not None
    assert not stage.backend.let_weights_go(stage.draft)
    stage.backend.release(again)
    assert stage.backend.let_weights_go(stage.draft)
    assert stage.backend.loaded(planned.plan) is None
    assert stage.in_use() == {"tiny native": False}


def test_a_model_held_without_the_one_that_guesses_is_refused(stage: Stage) -> None:
    alone = stage.backend.load(stage.plan()).run()
    with pytest.raises(InternalError, match="the one that guesses"):
        stage.backend.submit(1, alone, stage.drafting())


def test_what_has_no_room_beside_the_other_is_refused_before_anything_is_loaded(stage: Stage) -> None:
    planned = stage.drafting()
    limit = planned.estimate.total_bytes
    stage.backend = CpuBackend(stage.registry, stage.cache, lambda: None, limit - 1)
    with pytest.raises(OutOfMemoryBudget):
        stage.backend.load(planned).run()
    assert stage.in_use() == {}
    stage.backend = CpuBackend(stage.registry, stage.cache, lambda: None, limit)
    stage.run(planned, 1)
    stage.backend.release(stage.backend.load(planned).run())


def test_a_draft_model_that_cannot_be_had_leaves_nothing_held(stage: Stage) -> None:
    planned = stage.drafting()
    write_tiny_model(stage.draft, n_layer=1, seed=1)
    with pytest.raises(InvalidModel, match="changed since the plan was made"):
        stage.backend.load(planned).run()
    assert not any(stage.in_use().values())
    load = stage.backend.load(stage.drafting())
    load.cancel()
    with pytest.raises(ExecutionCancelled):
        load.run()
    assert not any(stage.in_use().values())


def test_another_vocabulary_is_refused_by_what_differs(stage: Stage) -> None:
    write_tiny_model(stage.draft.with_name("more.gguf"), more_controls=("<|more|>",))
    with pytest.raises(InvalidPlan) as refused:
        stage.drafting("more")
    assert "more cannot guess for tiny" in refused.value.message
    assert refused.value.params["differing"] == ["tokens"]
    assert refused.value.params["field"] == "execution.speculation.model"
    write_tiny_model(stage.draft.with_name("other.gguf"), pre="qwen2")
    with pytest.raises(InvalidPlan, match="the kind of tokenizer"):
        stage.drafting("other")
    with pytest.raises(UnknownModel):
        stage.drafting("nowhere")


def test_a_plan_is_an_input_and_is_made_again_from_a_record(stage: Stage) -> None:
    planned = stage.drafting()
    given = stage.planner.prepare(RunRequest(plan=planned.plan, prompt="Hello"))
    again = stage.planner.plan_again(planned.plan, planned.prompt_token_ids)
    assert given.plan == again.plan == planned.plan
    assert given.estimate == again.estimate == planned.estimate
    own = stage.plan(speculation={"kind": "self", "quantization": "q8_0"})
    assert stage.planner.prepare(RunRequest(plan=own.plan, prompt="Hello")).estimate == own.estimate
    assert stage.planner.plan_again(own.plan, own.prompt_token_ids).estimate == own.estimate
    write_tiny_model(stage.draft, n_layer=1, seed=1)
    with pytest.raises(InvalidPlan) as refused:
        stage.planner.prepare(RunRequest(plan=planned.plan, prompt="Hello"))
    assert refused.value.params["field"] == "plan.speculation.model.content_hash"
    with pytest.raises(InvalidModel, match="changed since the plan was made"):
        stage.planner.plan_again(planned.plan, planned.prompt_token_ids)
