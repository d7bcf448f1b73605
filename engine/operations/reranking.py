"""Documents ranked: each read together with the query, and judged by the model's classifier."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.footprint import check_memory
from engine.artifact.roles import require_reranker
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import EnergyLadder
from engine.operations.energy.operation_window import OperationWindow
from engine.operations.model_operation import ModelOperation
from engine.operations.text_reading import plan_reading, reading_run, require_room
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from protocol.operation_answers import Reranked
from protocol.requests import Rerank
from protocol.reranking import RankedDocument


@dataclass(frozen=True, slots=True)
class _Pair:
    token_ids: Sequence[int]
    document_begin: int
    """Where the document's own tokens begin."""


class Reranking(ModelOperation):
    """An :class:`engine.operation.Operation`."""

    def __init__(self, request: Rerank, planner: Planner, backend: CpuBackend, energy: EnergyLadder) -> None:
        super().__init__("ranking", planner, backend)
        self._request = request.request
        self._energy = energy

    def run(self) -> Reranked:
        """The documents, the best first.

        Raises:
            What planning, loading and quantizing raise.
            UnsupportedModel: the model has no classifier.
            PromptTooLong: query and document are longer than the context.
            NonFiniteResult: the model computed NaN or infinities.
            ExecutionCancelled: see :meth:`cancel`.
        """
        pairs, planned = self._decide()
        plan = planned.plan
        with ExitStack() as held:
            model = self.load(planned, held)
            self.reserve(model, planned.estimate, held)
            computation = _core.TextEmbedding(
                model.model,
                [pair.token_ids for pair in pairs],
                second_begins=[pair.document_begin for pair in pairs],
                pooling="rank",
                normalize=False,
                step_tokens=plan.batch.prefill_chunk,
                side_by_side=plan.batch.max_sequences,
                threads=plan.threads,
                kv_cache=plan.kv_cache,
            )
            window, began = OperationWindow(self._energy, plan.energy_source, self.backend.statistics), time.monotonic()
            self.compute(computation, model.name, "ranking", "tokens")
            duration_s, energy = time.monotonic() - began, window.report()
        scores = computation.vectors[:, 0].tolist()
        return Reranked(
            plan=plan,
            kernel_path=model.kernel_path,
            results=_ranked(scores, pairs)[: self._request.top_n],
            tokens=sum(len(pair.token_ids) for pair in pairs),
            duration_s=duration_s,
            energy=energy,
        )

    def _decide(self) -> tuple[list[_Pair], PlannedExecution]:
        """Everything, before anything is loaded."""
        request = self._request
        self.planner.check(reading_run(request, 1, 1))
        artifact = self.planner.registry.resolve(request.model)
        require_reranker(artifact)
        query = artifact.tokenizer.encode(request.query)
        pairs = []
        for number, document in enumerate(request.documents):
            self.require_going()
            pairs.append(_pair(artifact, f"request.documents.{number}", query, document))
        planned = plan_reading(self.planner, request, artifact, [pair.token_ids for pair in pairs])
        check_memory(planned.estimate, planned.plan.limits.memory_mb)
        return pairs, planned


def _pair(artifact: ModelArtifact, place: str, query: Sequence[int], document: str) -> _Pair:
    """``query``: with the tokens that begin and end a text. Raises PromptTooLong."""
    found = artifact.tokenizer.encode(document, add_special=False)
    token_ids = [*query, *found, *query[-1:]]
    require_room(artifact, place, len(token_ids))
    return _Pair(token_ids, len(query))


def _ranked(scores: Sequence[float], pairs: Sequence[_Pair]) -> tuple[RankedDocument, ...]:
    """The best first, and of equals the one named first."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return tuple(
        RankedDocument(index=index, score=scores[index], tokens=len(pairs[index].token_ids)) for index in order
    )
