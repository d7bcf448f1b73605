"""Making ready what a plan runs on: its weights, those of the model that guesses for it, and its grammar."""

from __future__ import annotations

from threading import Lock

from engine.artifact.footprint import describe_memory
from engine.cpu.loaded_model import CpuLoadedModel
from engine.cpu.model_memory import ModelMemory
from engine.cpu.weights_load import WeightsLoad
from engine.draft_plan import draft_plan
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.weights.derived_weights import DerivedWeights
from protocol.errors import EngineError, ExecutionCancelled
from protocol.progress import StageProgress


class ModelLoad:
    """An :class:`engine.operation.Operation`: the model, held."""

    def __init__(
        self,
        planned: PlannedExecution,
        registry: ModelRegistry,
        derived: DerivedWeights,
        memory: ModelMemory,
        loading: Lock,
    ) -> None:
        """``loading``: see :class:`WeightsLoad`."""
        self._plan = planned.plan
        self._needed = planned.estimate
        self._memory = memory
        plans = (self._plan, draft_plan(self._plan))
        self._loads = [
            WeightsLoad(plan, self._needed, registry, derived, memory, loading) for plan in plans if plan is not None
        ]
        self._at_work = self._loads[0]
        self._cancelled = False

    def run(self) -> CpuLoadedModel:
        """The model with the one that guesses for it, room for the plan's execution beside them, and the plan's grammar
        compiled. The caller must release it.

        Raises:
            InvalidModel: a file is no well-formed GGUF, has weights that are not finite, is no longer the one that the
                plan was made for, or changes while it is read.
            UnsupportedModel: it lacks a tensor, or has one of a shape or type that no kernel serves.
            OutOfMemoryBudget: what is in use leaves no memory for weights, cache and activations. Nothing was
                allocated.
            CacheFull: no room to keep derived weights, and too little memory to make them there.
            ExecutionCancelled: see :meth:`cancel`.
            InvalidGrammar, GrammarTooComplex, GrammarTimeout, GrammarUnavailable: see :meth:`Grammars.compile`.
        """
        model, *guessing = self._hold_all()
        if guessing:
            model = model.guessed_by(guessing[0])
        if self._plan.grammar is None:
            return model
        try:
            return model.following(model.grammars.compile(self._plan.grammar))
        except EngineError:
            self._memory.release(model)
            raise

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        return self._at_work.progress()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._cancelled = True
        for load in self._loads:
            load.cancel()

    def _hold_all(self) -> list[CpuLoadedModel]:
        """The models in the order of the loads, each held."""
        held: dict[WeightsLoad, CpuLoadedModel] = {}
        needed_bytes = self._needed.total_bytes
        try:
            for load in self._loads:
                found = load.find()
                if found is not None:
                    held[load] = found
                    needed_bytes -= found.weights_bytes
            if len(held) == len(self._loads):
                self._memory.make_room(needed_bytes, f"the run needs {describe_memory(self._needed)}")
            for load in self._loads:
                if load not in held:
                    if self._cancelled:
                        raise ExecutionCancelled("the load was cancelled")
                    self._at_work = load
                    held[load] = load.make(needed_bytes)
                    needed_bytes -= held[load].weights_bytes
        except EngineError:
            for model in held.values():
                self._memory.release(model)
            raise
        return [held[load] for load in self._loads]
