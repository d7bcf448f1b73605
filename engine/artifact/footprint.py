"""The memory that an execution takes: weights, KV cache and the buffers of its steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from engine import _core
from engine.artifact.choices import kv_positions
from engine.artifact.model_facts import ModelFacts, StepBytes
from protocol.errors import OutOfMemoryBudget
from protocol.plan import ExecutionPlan, ExecutionRequest, KvCacheType
from protocol.summaries import PlanEstimate

_MB = 10**6


class KvSizes(Protocol):
    """What keys and values take: see :class:`ModelFacts`."""

    @property
    def kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """Bytes in all layers."""

    @property
    def windowed_kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """Bytes in layers that have a window."""

    @property
    def window(self) -> int:
        """Positions of the widest window."""

    @property
    def recurrent_bytes(self) -> int:
        """Bytes that a sequence keeps in layers without keys and values."""


def estimate(
    plan: ExecutionPlan, model: ModelFacts, prompt_tokens: int, draft: ModelFacts | None = None
) -> PlanEstimate:
    """What a plan asks of the machine, known before anything is allocated. ``draft``: the model that guesses for it."""
    buffers = _buffers(plan, max(1, prompt_tokens), model, draft)
    draft_weights_bytes, draft_kv_bytes = 0, 0
    if draft is not None:
        draft_weights_bytes = draft.weights_bytes[plan.backend]
        # Each choice has the prompt in its draft model's cache for itself.
        draft_kv_bytes = _plan_kv_bytes(plan, draft, plan.n * plan.batch.context_length)
    return PlanEstimate(
        weights_bytes=model.weights_bytes[plan.backend] + draft_weights_bytes,
        draft_weights_bytes=draft_weights_bytes,
        kv_cache_bytes=_plan_kv_bytes(plan, model, kv_positions(plan, prompt_tokens)) + draft_kv_bytes,
        activation_bytes=buffers.total,
        sequence_bytes=buffers.own,
        prompt_tokens=prompt_tokens,
        prefill_macs=model.macs_per_prompt_token * prompt_tokens,
        decode_macs_per_token=model.macs_per_prompt_token + model.macs_of_head,
        decode_bytes_per_token=model.decode_weights_bytes[plan.backend]
        + _kv_bytes(model, plan.kv_cache, plan.batch.context_length // 2, model.window)
        + model.recurrent_bytes,  # one state read, the other written
    )


def _kv_bytes(model: KvSizes, kv_cache: KvCacheType, positions: int, window_positions: int) -> int:
    """Keys and values of so many positions, and of fewer in layers that have a window."""
    windowed = model.windowed_kv_bytes_per_token.get(kv_cache, 0)
    everywhere = model.kv_bytes_per_token[kv_cache] - windowed
    return everywhere * positions + windowed * min(positions, window_positions)


def context_kv_bytes(model: KvSizes, kv_cache: KvCacheType, context_length: int) -> int:
    """KV cache of one sequence that leaves its batch open and fills its context."""
    rows = ExecutionRequest().prefill_chunk
    windowed = _core.window_positions(model.window, rows)
    return _kv_bytes(model, kv_cache, context_length, windowed) + model.recurrent_bytes


def _plan_kv_bytes(plan: ExecutionPlan, model: ModelFacts, positions: int) -> int:
    """``positions``: those of all choices. Where others may begin with a part of the sequence, windows keep all.
    What recurrent layers keep, each choice has for itself."""
    if plan.prefix_cache == "on":
        return model.kv_bytes_per_token[plan.kv_cache] * positions
    rows = plan.batch.prefill_chunk + plan.speculation.max_rows
    windowed = plan.n * _core.window_positions(model.window, rows)
    return _kv_bytes(model, plan.kv_cache, positions, windowed) + plan.n * model.recurrent_bytes


def describe_memory(needed: PlanEstimate) -> str:
    """The estimate as part of a sentence, in MB of 10^6 bytes, rounded up."""
    total, weights, cache, activations = (
        -(-size // _MB)
        for size in (needed.total_bytes, needed.weights_bytes, needed.kv_cache_bytes, needed.activation_bytes)
    )
    return f"{total} MB (weights {weights}, KV cache {cache}, activations {activations})"


def step_buffers_bytes(plan: ExecutionPlan, model: ModelFacts, draft: ModelFacts | None = None) -> int:
    """What the run loop's steps take for the plan alone, however long its prompt is."""
    return _buffers(plan, plan.batch.prefill_chunk, model, draft).total


class _Buffers(NamedTuple):
    """Bytes of a step's buffers."""

    shared: int
    """Bytes that executions of a model share: rows of a prompt's chunk, tables of angles, what threads have alone."""
    own: int
    """Bytes of the plan's choices alone: the rows that each decodes, their logits, and the tables of guesses."""

    @property
    def total(self) -> int:
        return self.shared + self.own


def _buffers(plan: ExecutionPlan, prompt_tokens: int, model: ModelFacts, draft: ModelFacts | None) -> _Buffers:
    chunk = min(plan.batch.prefill_chunk, prompt_tokens)
    own_rows = min(plan.n * plan.speculation.max_rows, _core.MAX_DECODE_ROWS)
    buffers = _step_buffers(plan, model, chunk, own_rows, own_rows)
    if plan.speculation.kind == "lookup":
        return buffers._replace(own=buffers.own + plan.n * _core.lookup_bytes(plan.batch.context_length))
    if draft is None:
        return buffers
    of_draft = _step_buffers(plan, draft, chunk, plan.n * _core.DRAFT_FOLLOWING_ROWS, plan.n)
    return _Buffers(buffers.shared + of_draft.shared, buffers.own + of_draft.own)


def _step_buffers(plan: ExecutionPlan, model: ModelFacts, chunk: int, own_rows: int, logit_rows: int) -> _Buffers:
    rows = max(chunk, own_rows)
    beside = model.shared_step_bytes(plan.threads, rows, plan.batch.context_length)
    row_bytes = model.activation_row_bytes[plan.backend]
    return _Buffers(
        shared=(rows - own_rows) * row_bytes + beside,
        own=own_rows * row_bytes + logit_rows * model.logits_row_bytes,
    )


def default_activation_bytes(activation_row_bytes: int, logits_row_bytes: int, shared_step_bytes: StepBytes) -> int:
    """Buffers of a long prompt's steps in one thread, of a plan that leaves its batch open, without the tables of
    angles beyond the first steps."""
    rows = ExecutionRequest().prefill_chunk
    return rows * activation_row_bytes + logits_row_bytes + shared_step_bytes(1, rows, rows)


def check_memory(needed: PlanEstimate, memory_mb: int | None) -> None:
    """Raises OutOfMemoryBudget: more than the limit of ``memory_mb`` * 10^6 bytes, where there is one."""
    total = needed.total_bytes
    if memory_mb is not None and total > memory_mb * _MB:
        raise OutOfMemoryBudget(
            f"the run needs {describe_memory(needed)} and the limit is {memory_mb} MB; lower "
            "execution.limits.max_tokens or execution.context_length, or raise execution.limits.memory_mb",
            needed_mb=-(-total // _MB),
            memory_mb=memory_mb,
            weights_bytes=needed.weights_bytes,
            kv_cache_bytes=needed.kv_cache_bytes,
            activation_bytes=needed.activation_bytes,
        )
