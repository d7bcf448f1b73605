"""How well a model predicts a text, carried out: weights made ready, text tokenized, windows read, figures made."""

from __future__ import annotations

import time
from contextlib import ExitStack
from threading import Lock
from typing import Final, Protocol

from engine import _core
from engine.artifact import ModelArtifact
from engine.cpu_backend import CpuBackend
from engine.cpu_model import CpuModel
from engine.planner import Planner
from engine.prompt import PreparedPrompt
from engine.text_quality import UnboundedPerplexityError, text_quality
from protocol.answers import Evaluated
from protocol.errors import ExecutionCancelled, InvalidModel, InvalidRequest, OutOfMemoryBudget
from protocol.evaluation import EvaluationRequest
from protocol.plan import ExecutionPlan, ExecutionRequest, Limits, RunRequest
from protocol.progress import StageProgress
from protocol.requests import Evaluate

CUSTOMARY_WINDOW: Final = 512
_MAX_LOGIT_ROWS: Final = 256


class _Stage(Protocol):
    """What is being done at the moment, seen and ended from outside."""

    def progress(self) -> StageProgress | None: ...
    def cancel(self) -> None: ...


class _Reading:
    def __init__(self, evaluation: _core.TextEvaluation) -> None:
        self._evaluation = evaluation

    def progress(self) -> StageProgress | None:
        done, total = self._evaluation.progress()
        return StageProgress(stage="evaluating", done=done, total=total, unit="windows")

    def cancel(self) -> None:
        self._evaluation.cancel()


class Evaluation:
    """An :class:`engine.operation.Operation`."""

    def __init__(self, request: Evaluate, planner: Planner, backend: CpuBackend) -> None:
        self._request_id = request.request_id
        self._request = request.request
        self._planner = planner
        self._backend = backend
        self._lock = Lock()
        self._stage: _Stage | None = None
        self._cancelled = False

    def run(self) -> Evaluated:
        """The figures.

        Raises:
            What planning, loading and quantizing raise.
            InvalidRequest: the text is shorter than a window; the model predicts it so badly that no float holds it.
            InvalidModel: the model's logits are no numbers.
            ExecutionCancelled: see :meth:`cancel`.
        """
        request = self._request
        artifact = self._planner.open(_as_run(request, request.quantization, CUSTOMARY_WINDOW))
        window = request.window or min(CUSTOMARY_WINDOW, artifact.context_length)
        plan = self._plan(artifact, request.quantization, window)
        against = None if request.against is None else self._plan(artifact, request.against, window)
        tokens = _tokens(artifact, request.text, window)
        read = tokens if request.max_windows is None else tokens[: request.max_windows * window]
        with ExitStack() as held:
            model = self._load(plan, held)
            base = None if against is None else self._load(against, held)
            began = time.monotonic()
            evaluation = self._evaluate(plan, artifact, (model, base), read)
            duration_s = time.monotonic() - began
        try:
            quality = text_quality(evaluation)
        except UnboundedPerplexityError as error:
            raise InvalidRequest(f"{artifact.name} cannot be measured by this text: {error}", field="text") from error
        return Evaluated(
            request_id=self._request_id,
            plan=plan,
            against=against,
            tokens=len(tokens),
            window=window,
            windows=evaluation.progress()[1],
            duration_s=duration_s,
            quality=quality,
        )

    def progress(self) -> StageProgress | None:
        with self._lock:
            return None if self._stage is None else self._stage.progress()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._stage is not None:
                self._stage.cancel()

    def _begin(self, stage: _Stage) -> None:
        with self._lock:
            self._stage = stage
            if self._cancelled:
                raise ExecutionCancelled("the evaluation was cancelled")

    def _plan(self, artifact: ModelArtifact, quantization: str, window: int) -> ExecutionPlan:
        whole_window = PreparedPrompt((0,) * (window - 1), "raw")
        return self._planner.plan(_as_run(self._request, quantization, window), artifact, whole_window)[0]

    def _load(self, plan: ExecutionPlan, held: ExitStack) -> CpuModel:
        """Held, with the memory for its windows, until ``held`` ends."""
        load = self._backend.load(plan)
        self._begin(load)
        model = load.run()
        held.callback(self._backend.release, model)
        held.enter_context(self._backend.reserved(model, plan))
        return model

    def _evaluate(
        self,
        plan: ExecutionPlan,
        artifact: ModelArtifact,
        models: tuple[CpuModel, CpuModel | None],
        tokens: list[int],
    ) -> _core.TextEvaluation:
        model, base = models
        tokenizer = artifact.tokenizer
        evaluation = _core.TextEvaluation(
            model.model,
            None if base is None else base.model,
            tokens,
            window=plan.batch.context_length,
            threads=plan.threads,
            bos=tokenizer.bos_token_id if tokenizer.adds_bos else None,
            kv_cache=plan.kv_cache,
        )
        self._begin(_Reading(evaluation))
        return _run(evaluation, artifact.name)


def _run(evaluation: _core.TextEvaluation, name: str) -> _core.TextEvaluation:
    try:
        evaluation.run()
    except _core.CancelledError as error:
        raise ExecutionCancelled("the evaluation was cancelled") from error
    except _core.NonFiniteLogitsError as error:
        raise InvalidModel(f"{name}: {error}; its weights are damaged", model=name) from error
    except (MemoryError, OSError) as error:
        raise OutOfMemoryBudget(f"no memory or threads left to evaluate {name}: {error}", model=name) from error
    return evaluation


def _as_run(request: EvaluationRequest, quantization: str, window: int) -> RunRequest:
    """A run with the same weights, cache and buffers: its plan accounts for the evaluation's memory."""
    return RunRequest(
        model=request.model,
        prompt="",
        execution=ExecutionRequest(
            backend=request.backend,
            quantization=quantization,
            kv_cache=request.kv_cache,
            threads=request.threads,
            context_length=window,
            max_sequences=min(_MAX_LOGIT_ROWS, window),
            prefill_chunk=max(1, window // 2),
            limits=Limits(max_tokens=1, memory_mb=request.memory_mb),
        ),
    )


def _tokens(artifact: ModelArtifact, text: str, window: int) -> list[int]:
    """As the ecosystem's own tool reads a text: without its last line's end."""
    tokens = artifact.tokenizer.encode(text.removesuffix("\n"))
    if len(tokens) < window:
        raise InvalidRequest(
            f"the text has {len(tokens)} tokens and a window {window}: give a longer one, or a smaller window",
            field="text",
            tokens=len(tokens),
            window=window,
        )
    return tokens
