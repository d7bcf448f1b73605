"""Vectors of texts, made: inputs tokenized, weights made ready, hidden states pooled."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.footprint import check_memory
from engine.cpu.cpu_backend import CpuBackend
from engine.cpu.loaded_model import CpuLoadedModel
from engine.energy.ladder import EnergyLadder
from engine.operations.energy.operation_window import OperationWindow
from engine.operations.model_operation import ModelOperation
from engine.operations.pooling import choose_pooling
from engine.operations.text_reading import InputTokenIds, plan_reading, reading_run, require_room
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from protocol.embedding import EmbeddedText, Pooling, PoolingFrom
from protocol.errors import InvalidRequest
from protocol.framing import MAX_FRAME_BYTES
from protocol.operation_answers import Embedded
from protocol.requests import Embed

_ANSWER_BESIDE_BYTES: Final = 65_536
"""Room in the last message for what is no vector: its plan above all."""
_VECTOR_BESIDE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class _Decided:
    inputs: Sequence[InputTokenIds]
    pooling: Pooling
    pooling_from: PoolingFrom
    planned: PlannedExecution


class Embedding(ModelOperation):
    """An :class:`engine.operation.Operation`."""

    def __init__(self, request: Embed, planner: Planner, backend: CpuBackend, energy: EnergyLadder) -> None:
        super().__init__("embedding", planner, backend)
        self._request = request.request
        self._energy = energy

    def run(self) -> Embedded:
        """The vectors.

        Raises:
            What planning, loading and quantizing raise.
            InvalidRequest: an input without tokens, a token that the vocabulary does not have, more vectors than an
                answer holds; the file's pooling is one that this engine lacks.
            PromptTooLong: an input is longer than the context.
            NonFiniteResult: the model computed NaN or infinities.
            ExecutionCancelled: see :meth:`cancel`.
        """
        decided = self._decide()
        plan = decided.planned.plan
        with ExitStack() as held:
            model = self.load(decided.planned, held)
            self.reserve(model, decided.planned.estimate, held)
            computation = self._computation(model, decided)
            window, began = OperationWindow(self._energy, plan.energy_source, self.backend.statistics), time.monotonic()
            self.compute(computation, model.name, "embedding", "tokens")
            duration_s, energy = time.monotonic() - began, window.report()
        vectors = computation.vectors.astype("<f4", copy=False)
        return Embedded(
            plan=plan,
            kernel_path=model.kernel_path,
            pooling=decided.pooling,
            pooling_from=decided.pooling_from,
            normalized=self._request.normalize,
            dimension=vectors.shape[1],
            texts=_told(vectors, decided.inputs),
            digest="sha256:" + hashlib.sha256(vectors.tobytes()).hexdigest(),
            duration_s=duration_s,
            energy=energy,
        )

    def _decide(self) -> _Decided:
        """Everything, before anything is loaded."""
        self.planner.check(reading_run(self._request, 1, 1))
        artifact = self.planner.registry.resolve(self._request.model)
        pooling, pooling_from = choose_pooling(self._request.pooling, artifact)
        inputs = self._token_ids(artifact)
        planned = plan_reading(self.planner, self._request, artifact, inputs)
        check_memory(planned.estimate, planned.plan.limits.memory_mb)
        return _Decided(inputs, pooling, pooling_from, planned)

    def _computation(self, model: CpuLoadedModel, decided: _Decided) -> _core.TextEmbedding:
        plan = decided.planned.plan
        return _core.TextEmbedding(
            model.model,
            decided.inputs,
            pooling=decided.pooling,
            normalize=self._request.normalize,
            step_tokens=plan.batch.prefill_chunk,
            side_by_side=plan.batch.max_sequences,
            threads=plan.threads,
            kv_cache=plan.kv_cache,
        )

    def _token_ids(self, artifact: ModelArtifact) -> list[InputTokenIds]:
        """The token ids of every input; refused before the first one is tokenized where the answer cannot hold them."""
        artifact.require_runnable()
        texts, given = self._request.texts, self._request.token_ids
        field = "texts" if given is None else "token_ids"
        _require_room_in_answer(artifact, field, len(texts or given or ()))
        inputs: list[InputTokenIds] = list(given or ())
        for number, text in enumerate(texts or ()):
            self.require_going()
            inputs.append(_encode(artifact, f"request.texts.{number}", text))
        for number, token_ids in enumerate(inputs):
            place = f"request.{field}.{number}"
            artifact.tokenizer.require_ids(token_ids, place)
            require_room(artifact, place, len(token_ids))
        return inputs


def _encode(artifact: ModelArtifact, place: str, text: str) -> InputTokenIds:
    """Raises InvalidRequest, PromptTooLong: a hopeless text, before minutes are spent on it."""
    require_room(artifact, place, artifact.tokenizer.least_tokens(text), "at least ")
    token_ids = artifact.tokenizer.encode(text)
    if not token_ids:
        raise InvalidRequest(f"{place} has no tokens in the vocabulary of {artifact.name}", field=place)
    return token_ids


def _require_room_in_answer(artifact: ModelArtifact, field: str, count: int) -> None:
    dimension = artifact.vector_width
    vector_bytes = -(-4 * dimension // 3) * 4 + _VECTOR_BESIDE_BYTES
    most = (MAX_FRAME_BYTES - _ANSWER_BESIDE_BYTES) // vector_bytes
    if count > most:
        raise InvalidRequest(
            f"{field} has {count} entries, and an answer holds {most} vectors of {dimension} numbers: send fewer",
            field=f"request.{field}",
            maximum=most,
        )


def _told(vectors: npt.NDArray[np.float32], inputs: Sequence[InputTokenIds]) -> tuple[EmbeddedText, ...]:
    return tuple(
        EmbeddedText(vector=b64encode(vector.tobytes()).decode("ascii"), tokens=len(token_ids))
        for vector, token_ids in zip(vectors, inputs, strict=True)
    )
