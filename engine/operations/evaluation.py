"""How well a model predicts a text, carried out: weights made ready, text tokenized, windows read, figures made."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Final

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.roles import require_decoder
from engine.cpu.cpu_backend import CpuBackend
from engine.cpu.loaded_model import CpuLoadedModel
from engine.operations.evaluated_text import CUSTOMARY_WINDOW, text_tokens, window_of
from engine.operations.model_operation import ModelOperation, as_run
from engine.operations.text_quality import UnboundedPerplexityError, text_quality
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.planning.prompt import PreparedPrompt
from protocol.errors import InvalidRequest
from protocol.evaluation import EvaluationRequest
from protocol.operation_answers import Evaluated
from protocol.plan import ExecutionPlan, RunRequest
from protocol.requests import Evaluate

_MAX_LOGIT_ROWS: Final = 256


class Evaluation(ModelOperation):
    """An :class:`engine.operation.Operation`."""

    def __init__(self, request: Evaluate, planner: Planner, backend: CpuBackend) -> None:
        super().__init__("evaluation", planner, backend)
        self._request = request.request

    def run(self) -> Evaluated:
        """The figures.

        Raises:
            What planning, loading and quantizing raise.
            InvalidRequest: the text is shorter than a window; the model predicts it so badly that no float holds it.
            NonFiniteResult: a model computed NaN or infinities.
            ExecutionCancelled: see :meth:`cancel`.
        """
        request = self._request
        self.planner.check(_as_run(request, CUSTOMARY_WINDOW))
        artifact = self.planner.registry.resolve(request.model)
        require_decoder(artifact)
        window = window_of(artifact, request.window)
        planned = self._plan(artifact, request, window)
        other = _base(request)
        against = None if other is None else self._plan(artifact, other, window)
        tokens = text_tokens(artifact, request.text, window)
        read = tokens if request.max_windows is None else tokens[: request.max_windows * window]
        with ExitStack() as held:
            model = self._load_reserved(planned, held)
            base = None if against is None else self._load_reserved(against, held)
            began = time.monotonic()
            base_kv_cache = None if against is None else against.plan.kv_cache
            evaluation = self._evaluate(planned.plan, artifact, (model, base), read, base_kv_cache)
            duration_s = time.monotonic() - began
        try:
            quality = text_quality(evaluation)
        except UnboundedPerplexityError as error:
            raise InvalidRequest(f"{artifact.name} cannot be measured by this text: {error}", field="text") from error
        return Evaluated(
            plan=planned.plan,
            against=None if against is None else against.plan,
            tokens=len(tokens),
            window=window,
            windows=evaluation.progress()[1],
            duration_s=duration_s,
            quality=quality,
        )

    def _plan(self, artifact: ModelArtifact, request: EvaluationRequest, window: int) -> PlannedExecution:
        whole_window = PreparedPrompt((0,) * (window - 1), "raw")
        checked = self.planner.check(_as_run(request, window))
        return self.planner.plan(checked, artifact, whole_window)

    def _load_reserved(self, planned: PlannedExecution, held: ExitStack) -> CpuLoadedModel:
        """Held, with the memory for its windows, until ``held`` ends."""
        model = self.load(planned, held)
        self.reserve(model, planned.estimate, held)
        return model

    def _evaluate(
        self,
        plan: ExecutionPlan,
        artifact: ModelArtifact,
        models: tuple[CpuLoadedModel, CpuLoadedModel | None],
        tokens: list[int],
        base_kv_cache: str | None,
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
            base_kv_cache=base_kv_cache,
        )
        self.compute(evaluation, artifact.name, "evaluating", "windows")
        return evaluation


def _base(request: EvaluationRequest) -> EvaluationRequest | None:
    """What reads the text for the comparison; ``None``: nothing is compared."""
    if request.against is None and request.against_kv_cache is None:
        return None
    other = {
        "quantization": request.against or request.quantization,
        "kv_cache": request.against_kv_cache or request.kv_cache,
    }
    return request.model_copy(update=other)


def _as_run(request: EvaluationRequest, window: int) -> RunRequest:
    return as_run(
        request,
        request.quantization,
        context_length=window,
        max_sequences=min(_MAX_LOGIT_ROWS, window),
        prefill_chunk=max(1, window // 2),
    )
