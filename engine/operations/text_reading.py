"""The plan of texts that are read and not answered: a run of the longest, with the memory of all read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.roles import reads_whole_texts
from engine.operations.model_operation import as_run
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.planning.prompt import PreparedPrompt
from protocol.errors import PromptTooLong
from protocol.plan import RunRequest
from protocol.prefill_request import PrefillRequest

STEP_TOKENS: Final = 256
"""Tokens of a step; one text more where a model reads texts whole."""
SIDE_BY_SIDE: Final = 32
"""Texts read together at most: a step of short ones is full."""

InputTokenIds = Sequence[int]


def reading_run(request: PrefillRequest, longest: int, count: int) -> RunRequest:
    """A run with the weights, cache and buffers of reading ``count`` texts."""
    return as_run(
        request,
        request.quantization,
        context_length=longest,
        max_sequences=min(SIDE_BY_SIDE, count),
        prefill_chunk=STEP_TOKENS,
    )


def plan_reading(
    planner: Planner, request: PrefillRequest, artifact: ModelArtifact, inputs: Sequence[InputTokenIds]
) -> PlannedExecution:
    """A run of the longest input, with the caches of the texts that are read together. Raises what planning raises."""
    longest = max(map(len, inputs))
    checked = planner.check(reading_run(request, longest, len(inputs)))
    planned = planner.plan(checked, artifact, PreparedPrompt((0,) * (longest - 1), "raw"))
    batch = planned.plan.batch
    step = max(batch.prefill_chunk, longest) if reads_whole_texts(artifact) else batch.prefill_chunk
    positions = _core.TextEmbedding.kv_positions(
        len(inputs), longest, step_tokens=step, side_by_side=batch.max_sequences
    )
    rows = min(step, sum(map(len, inputs)))
    needed = {
        "kv_cache_bytes": positions * artifact.kv_bytes_per_token[planned.plan.kv_cache]
        + min(batch.max_sequences, len(inputs)) * artifact.recurrent_bytes,
        "activation_bytes": rows * artifact.activation_row_bytes[planned.plan.backend]
        + artifact.shared_step_bytes(planned.plan.threads, rows, longest),
        "sequence_bytes": 0,
    }
    return replace(planned, estimate=planned.estimate.model_copy(update=needed))


def require_room(artifact: ModelArtifact, place: str, tokens: int, sort_of: str = "") -> None:
    """Raises PromptTooLong: more tokens than the model was trained for."""
    if tokens > artifact.context_length:
        raise PromptTooLong(
            f"{place} has {sort_of}{tokens} tokens and {artifact.name} was trained for {artifact.context_length}",
            field=place,
            prompt_tokens=tokens,
            trained=artifact.context_length,
        )
