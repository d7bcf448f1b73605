"""The real backend driven directly, without actors."""

from __future__ import annotations

import json
import select
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from engine.backend import SequenceEvents
from engine.config import EngineConfig
from engine.cpu.cpu_backend import CpuBackend
from engine.cpu.loaded_model import CpuLoadedModel
from engine.host.machine import Machine
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.planning.prompt import prepare_prompt
from engine.planning.resolve import decide_without_model, planned_execution, resolve_plan
from engine.weights.weights_cache import WeightsCache
from protocol.plan import ExecutionPlan, RunRequest
from protocol.quantization import Quantization

MACHINE = Machine("Test CPU", 1, 1 << 30, dict.fromkeys(("cpu_avx512", "cpu_avx2"), "not here") | {"reference": ""})
PATIENCE_S = 60.0


class Bench:
    """A backend, and requests made into what it takes."""

    def __init__(self, directory: Path) -> None:
        self.config = EngineConfig(directory, directory / "cache", directory)
        self.registry = ModelRegistry(self.config)
        self.cache = WeightsCache.of(self.config)
        self.backend = CpuBackend(self.registry, self.cache)

    def prepare(self, path: Path, prompt: str = "Hello", **execution: Any) -> tuple[ExecutionPlan, tuple[int, ...]]:
        execution = {"stop": {"eos": False}, "limits": {"max_tokens": 8}, **execution}
        content = {"model": str(path), "prompt": prompt, "execution": execution}
        request = RunRequest.model_validate_json(json.dumps(content))
        artifact = self.registry.resolve(request.model)
        prepared = prepare_prompt(request, artifact)
        facts = artifact.facts(cast("Quantization", request.execution.quantization))
        checked = decide_without_model(request, MACHINE, {"none": ""}, self.config)
        return resolve_plan(checked, facts, prepared, self.config).plan, prepared.token_ids

    def planned(self, plan: ExecutionPlan, token_ids: Sequence[int] = ()) -> PlannedExecution:
        artifact = self.registry.resolve(plan.model_ref.path)
        return planned_execution(plan, artifact.facts(plan.quantization), tuple(token_ids))

    def run(self, path: Path, sequence_id: int = 1, **execution: Any) -> SequenceEvents:
        plan, token_ids = self.prepare(path, **execution)
        self.submit(sequence_id, plan, token_ids)
        return self.finish(sequence_id)

    def load(self, plan: ExecutionPlan) -> CpuLoadedModel:
        """Held, as nothing here is ever released."""
        return self.backend.load(self.planned(plan)).run()

    def submit(self, sequence_id: int, plan: ExecutionPlan, token_ids: Sequence[int]) -> None:
        """Leaves the model idle when the sequence has ended."""
        model = self.load(plan)
        self.backend.submit(sequence_id, model, self.planned(plan, token_ids))
        self.backend.release(model)

    def finish(self, sequence_id: int) -> SequenceEvents:
        """All that a sequence does, as one."""
        parts: list[SequenceEvents] = []
        while not parts or parts[-1].stop_reason is None:
            assert select.select([self.backend.event_fd], [], [], PATIENCE_S)[0], "the run loop went silent"
            parts += (events for events in self.backend.drain() if events.sequence_id == sequence_id)
        return SequenceEvents(
            sequence_id=sequence_id,
            prefill_start_ns=next(part.prefill_start_ns for part in parts if part.prefill_start_ns is not None),
            cached_prompt_tokens=next(
                part.cached_prompt_tokens for part in parts if part.cached_prompt_tokens is not None
            ),
            token_ids=tuple(token_id for part in parts for token_id in part.token_ids),
            token_times_ns=tuple(time_ns for part in parts for time_ns in part.token_times_ns),
            text="".join(part.text for part in parts),
            stop_reason=parts[-1].stop_reason,
            error=parts[-1].error,
            logits_digest=parts[-1].logits_digest,
            drafted_tokens=parts[-1].drafted_tokens,
            accepted_tokens=parts[-1].accepted_tokens,
            draft_ns=parts[-1].draft_ns,
            compute_time=parts[-1].compute_time,
        )
