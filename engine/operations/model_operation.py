"""What operations on loaded models have in common: stages seen and ended from outside, weights held to their end."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Lock
from typing import Protocol

from engine import _core
from engine.artifact.non_finite import non_finite_result
from engine.cpu.cpu_backend import CpuBackend
from engine.cpu.loaded_model import CpuLoadedModel
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from protocol.errors import ExecutionCancelled, OutOfMemoryBudget
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.prefill_request import PrefillRequest
from protocol.progress import ProgressUnit, StageProgress
from protocol.summaries import PlanEstimate


class _Stage(Protocol):
    """What is being done at the moment, seen and ended from outside."""

    def progress(self) -> StageProgress | None: ...
    def cancel(self) -> None: ...


class Computation(Protocol):
    """The interface of ``_core.TextEvaluation`` and ``_core.TextEmbedding``: carried out once, in one thread."""

    def run(self) -> None:
        """Compute to the end. Blocking."""

    def cancel(self) -> None:
        """End :meth:`run` early. From any thread."""

    def progress(self) -> tuple[int, int]:
        """How much is done, and of how much."""


class _Computing:
    def __init__(self, computation: Computation, stage: str, unit: ProgressUnit) -> None:
        self._computation = computation
        self._stage = stage
        self._unit = unit

    def progress(self) -> StageProgress | None:
        done, total = self._computation.progress()
        return StageProgress(stage=self._stage, done=done, total=total, unit=self._unit)

    def cancel(self) -> None:
        self._computation.cancel()


class ModelOperation:
    """The common part of an :class:`engine.operation.Operation`."""

    def __init__(self, name: str, planner: Planner, backend: CpuBackend) -> None:
        """``name``: such as ``evaluation``, for sentences."""
        self._name = name
        self.planner = planner
        self.backend = backend
        self._lock = Lock()
        self._stage: _Stage | None = None
        self._cancelled = False

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        with self._lock:
            return None if self._stage is None else self._stage.progress()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        with self._lock:
            self._cancelled = True
            if self._stage is not None:
                self._stage.cancel()

    def load(self, planned: PlannedExecution, held: ExitStack) -> CpuLoadedModel:
        """The plan's weights, held until ``held`` ends. Raises what loading raises, and ExecutionCancelled."""
        load = self.backend.load(planned)
        self._begin(load)
        model = load.run()
        held.callback(self.backend.release, model)
        return model

    def reserve(self, model: CpuLoadedModel, needed: PlanEstimate, held: ExitStack) -> None:
        """Memory beside the weights, until ``held`` ends. Raises OutOfMemoryBudget."""
        held.enter_context(self.backend.reserved(model, needed))

    def compute(self, computation: Computation, model: str, stage: str, unit: ProgressUnit) -> None:
        """Carry a computation on ``model`` out, as a stage.

        Raises:
            NonFiniteResult: the model computed NaN or infinities.
            OutOfMemoryBudget: no memory or threads are left.
            ExecutionCancelled: see :meth:`cancel`.
        """
        self._begin(_Computing(computation, stage, unit))
        try:
            computation.run()
        except _core.CancelledError as error:
            raise self._ended() from error
        except _core.NonFiniteResultError as error:
            raise non_finite_result(model, str(error), error.place) from error
        except (MemoryError, OSError) as error:
            raise OutOfMemoryBudget(
                f"no memory or threads left for the {self._name} on {model}: {error}", model=model
            ) from error

    def require_going(self) -> None:
        """Raises ExecutionCancelled after :meth:`cancel`."""
        if self._cancelled:
            raise self._ended()

    def _begin(self, stage: _Stage) -> None:
        with self._lock:
            self._stage = stage
            self.require_going()

    def _ended(self) -> ExecutionCancelled:
        return ExecutionCancelled(f"the {self._name} was cancelled")


def as_run(
    request: PrefillRequest, quantization: str, *, context_length: int, max_sequences: int, prefill_chunk: int
) -> RunRequest:
    """A run with the same weights, cache and buffers: its plan accounts for the operation's memory."""
    return RunRequest(
        model=request.model,
        prompt="",
        execution=ExecutionRequest(
            backend=request.backend,
            quantization=quantization,
            kv_cache=request.kv_cache,
            threads=request.threads,
            context_length=context_length,
            max_sequences=max_sequences,
            prefill_chunk=prefill_chunk,
            limits=Limits(max_tokens=1, memory_mb=request.memory_mb),
        ),
    )
