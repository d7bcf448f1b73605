"""Making the weights of one model ready: found in memory, or quantized and loaded."""

from __future__ import annotations

import errno
from threading import Lock
from typing import Final

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.footprint import describe_memory
from engine.batch_key import WeightsKey
from engine.cpu.loaded_model import CpuLoadedModel
from engine.cpu.model_memory import ModelMemory
from engine.host.changed_file import changed_file
from engine.host.descriptors import FULL_TABLES, no_descriptors
from engine.models.registry import ModelRegistry
from engine.operation import turn
from engine.weights.derived_weights import CachedWeightsChangedError, DerivedWeights, WantedWeights, WeightsFile
from engine.weights.quantization_watch import QuantizationWatch
from protocol.errors import (
    ExecutionCancelled,
    InvalidModel,
    OutOfMemoryBudget,
    Overloaded,
    UnknownModel,
    UnsupportedModel,
)
from protocol.plan import ExecutionPlan
from protocol.progress import StageProgress
from protocol.summaries import PlanEstimate

_REFUSED_RESOURCES: Final = (errno.EAGAIN, errno.ENOMEM)
_EXHAUSTED: Final = "exhausted"
"""The ``reason`` of what the system refuses, and may grant once idle models have gone."""


class WeightsLoad:
    """The weights of one plan. Used by one thread, but for :meth:`progress` and :meth:`cancel`."""

    def __init__(
        self,
        plan: ExecutionPlan,
        needed: PlanEstimate,
        registry: ModelRegistry,
        derived: DerivedWeights,
        memory: ModelMemory,
        loading: Lock,
    ) -> None:
        """``needed``: by the whole run, in which others may have a part. ``loading`` is shared: loads keep every CPU
        busy, and each must see what the one before it has taken."""
        self._plan = plan
        self._sentence = f"the run needs {describe_memory(needed)}"
        self._registry = registry
        self._derived = derived
        self._memory = memory
        self._loading = loading
        self._watch = QuantizationWatch()
        self._control = _core.LoadControl()
        self._weights_bytes = 0
        self._needed_bytes = 0

    def find(self) -> CpuLoadedModel | None:
        """The weights, held, where they are in memory. Raises InvalidModel: the file is another than the plan's."""
        self._artifact()
        return self._memory.hold(WeightsKey.of(self._plan))

    def make(self, needed_bytes: int) -> CpuLoadedModel:
        """The weights, held, with room for ``needed_bytes``, theirs among them.

        Raises what :meth:`engine.cpu.model_load.ModelLoad.run` raises of weights.
        """
        self._needed_bytes = needed_bytes
        return self._load_checked(self._artifact())

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        if self._control.bytes_done:
            return StageProgress(stage="loading", done=self._control.bytes_done, total=self._weights_bytes)
        return self._watch.progress()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._watch.cancel()
        self._control.cancel()

    def _artifact(self) -> ModelArtifact:
        path = self._plan.model_ref.path
        try:
            artifact = self._registry.resolve(path)
        except (InvalidModel, UnknownModel) as error:  # it was there, and well-formed
            raise changed_file(path, "since the plan was made") from error
        if artifact.content_hash != self._plan.model_ref.content_hash:
            raise changed_file(path, "since the plan was made")
        return artifact

    def _load_checked(self, artifact: ModelArtifact) -> CpuLoadedModel:
        try:
            return self._load(artifact)
        except CachedWeightsChangedError:
            pass  # another process made them anew, or they are damaged: they are looked up again
        except (OutOfMemoryBudget, Overloaded) as error:
            if error.params.get("reason") != _EXHAUSTED:
                raise
            self._memory.keep_idle(0)  # theirs are there to be had
        try:
            return self._load(artifact)
        except CachedWeightsChangedError as error:
            raise changed_file(str(error)) from error

    def _load(self, artifact: ModelArtifact) -> CpuLoadedModel:
        facts = artifact.facts(self._plan.quantization)

        def make_room_beside_the_run(size: int, sentence: str) -> None:
            self._memory.make_room(self._needed_bytes + size, sentence)

        make_room_beside_the_run(0, self._sentence)
        wanted = WantedWeights(self._plan, artifact, make_room_beside_the_run, self._watch)
        with (
            self._derived.of(wanted) as weights,
            turn(self._loading, self._watch.check),
        ):
            model = self._memory.hold(WeightsKey.of(self._plan))
            if model is not None:  # another load was faster
                weights.close()
                return model
            make_room_beside_the_run(0, self._sentence)
            self._weights_bytes = facts.weights_bytes[self._plan.backend]
            loaded = CpuLoadedModel(
                key=WeightsKey.of(self._plan),
                name=self._plan.model_ref.name,
                model=self._load_file(weights),
                vocabulary=artifact.tokenizer.vocabulary,
                grammars=artifact.grammars,
                facts=facts,
                origin=weights.report,
                cached=weights.held,
            )
            self._memory.add(loaded)
            return loaded

    def _load_file(self, weights: WeightsFile) -> _core.Model:
        path = weights.path
        try:
            return _core.Model.load(weights.open(), self._plan.backend, self._plan.threads, self._control)
        except OSError as error:
            raise _refusal(path, error) from error
        except _core.ChangedFileError as error:
            if weights.held is not None:
                raise CachedWeightsChangedError(path) from error
            raise changed_file(path) from error
        except _core.NonFiniteWeightsError as error:
            raise InvalidModel(
                f"{path} cannot be loaded: {error}", path=path, tensor=error.tensor, row=error.row
            ) from error
        except _core.GgufError as error:
            raise InvalidModel(f"{path} cannot be loaded: {error}", path=path) from error
        except _core.UnsupportedModelError as error:
            raise UnsupportedModel(f"{path} cannot be run: {error}", path=path) from error
        except _core.CancelledError as error:
            raise ExecutionCancelled("the load was cancelled") from error
        except MemoryError as error:
            raise OutOfMemoryBudget(
                f"no memory left for the weights of {path}", path=path, reason=_EXHAUSTED
            ) from error


def _refusal(path: str, error: OSError) -> InvalidModel | OutOfMemoryBudget | Overloaded:
    if error.errno in FULL_TABLES:
        return no_descriptors(path, _EXHAUSTED)
    if error.errno in _REFUSED_RESOURCES:
        return OutOfMemoryBudget(f"the system refuses threads to load {path}: {error}", path=path, reason=_EXHAUSTED)
    return InvalidModel(f"{path} cannot be loaded: {error}", path=path)
