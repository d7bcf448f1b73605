"""Weights in memory, ready for one kernel table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine import _core
from engine.artifact.footprint import step_buffers_bytes
from engine.artifact.model_facts import ModelFacts
from engine.batch_key import WeightsKey
from engine.grammar.grammars import Grammars
from engine.weights.weights_cache import CachedWeights
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport


@dataclass(frozen=True, slots=True, eq=False)
class CpuLoadedModel:
    """With the vocabulary that turns its ids into text. Shared by every execution that asks for it, but for the
    grammar and the model that guesses."""

    key: WeightsKey
    name: str
    model: _core.Model
    vocabulary: _core.Vocabulary
    grammars: Grammars
    facts: ModelFacts
    origin: WeightsReport
    cached: CachedWeights | None
    """What it was loaded from, where that is an entry of the cache: it stays as long as the weights do."""
    grammar: _core.Grammar | None = None
    """Compiled, of the plan that it is held for."""
    draft: CpuLoadedModel | None = None
    """The model that guesses for that plan, held with it."""

    def following(self, grammar: _core.Grammar) -> CpuLoadedModel:
        """The same, held for a plan of that grammar."""
        return replace(self, grammar=grammar)

    def guessed_by(self, draft: CpuLoadedModel) -> CpuLoadedModel:
        """The same, held for a plan for which another model guesses."""
        return replace(self, draft=draft)

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights in memory, those of the model that guesses included."""
        return self.model.weights_bytes + (0 if self.draft is None else self.draft.weights_bytes)

    def buffers_bytes(self, plan: ExecutionPlan) -> int:
        """Bytes of the buffers of a plan's steps."""
        return step_buffers_bytes(plan, self.facts, None if self.draft is None else self.draft.facts)

    @property
    def kernel_path(self) -> str:
        """The instruction set of the kernels that run."""
        return self.model.kernel_path
