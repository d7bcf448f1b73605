"""The memory that an execution takes: weights, KV cache and the buffers of its steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine import _core
from engine.artifact.model_facts import ModelFacts
from engine.artifact.choices import kv_positions
from protocol.errors import OutOfMemoryBudget
from protocol.plan import ExecutionPlan, ExecutionRequest, KvCacheType
from protocol.summaries import PlanEstimate

_MB = 10**6


class KvSizes(Protocol):
    """What keys and values take: see :class:`ModelFacts`."""

    @property
    def kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """Of all layers."""

    @property
    def windowed_kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """Of those that have a window."""

    @property
    def window(self) -> int:
        """Positions of the widest window."""


def estimate(
    plan: ExecutionPlan, model: ModelFacts, prompt_tokens: int, draft: ModelFacts | None = None
) -> PlanEstimate:
    """What a plan asks of the machine, known before anything is allocated. ``draft``: the model that guesses for it."""
    draft_weights_bytes, draft_kv_bytes = 0, 0
    if draft is not None:
        draft_weights_bytes = draft.weights_bytes[plan.backend]
        # Each choice has the prompt in its draft model's cache for itself.
        draft_kv_bytes = _plan_kv_bytes(plan, draft, plan.n * plan.batch.context_length)
    return PlanEstimate(
        weights_bytes=model.weights_bytes[plan.backend] + draft_weights_bytes,
        draft_weights_bytes=draft_weights_bytes,
        kv_cache_bytes=_plan_kv_bytes(plan, model, kv_positions(plan, prompt_tokens)) + draft_kv_bytes,
        activation_bytes=_plan_buffers_bytes(plan, plan.batch.max_sequences, model, draft),
        prompt_tokens=prompt_tokens,
        prefill_macs=model.macs_per_prompt_token * prompt_tokens,
        decode_macs_per_token=model.macs_per_prompt_token + model.macs_of_head,
        decode_bytes_per_token=model.decode_weights_bytes[plan.backend]
        + _kv_bytes(model, plan.kv_cache, plan.batch.context_length // 2, model.window),
    )


def _kv_bytes(model: KvSizes, kv_cache: KvCacheType, positions: int, window_positions: int) -> int:
    """Keys and values of so many positions, and of fewer in layers that have a window."""
    windowed = model.windowed_kv_bytes_per_token.get(kv_cache, 0)
    everywhere = model.kv_bytes_per_token[kv_cache] - windowed
    return everywhere * positions + windowed * min(positions, window_positions)


def context_kv_bytes(model: KvSizes, kv_cache: KvCacheType, context_length: int) -> int:
    """KV cache of one sequence that leaves its batch open and fills its context."""
    rows = ExecutionRequest().prefill_chunk
    return _kv_bytes(model, kv_cache, context_length, _core.window_positions(model.window, rows))


def _plan_kv_bytes(plan: ExecutionPlan, model: ModelFacts, positions: int) -> int:
    """``positions``: those of all choices. Where others may begin with a part of the sequence, windows keep all."""
    if plan.prefix_cache == "on":
        return model.kv_bytes_per_token[plan.kv_cache] * positions
    rows = plan.batch.prefill_chunk + plan.speculation.max_rows
    return _kv_bytes(model, plan.kv_cache, positions, plan.n * _core.window_positions(model.window, rows))


def describe_memory(needed: PlanEstimate) -> str:
    """The estimate as part of a sentence, in MB of 10^6 bytes, rounded up."""
    total, weights, cache, activations = (
        -(-size // _MB)
        for size in (needed.total_bytes, needed.weights_bytes, needed.kv_cache_bytes, needed.activation_bytes)
    )
    return f"{total} MB (weights {weights}, KV cache {cache}, activations {activations})"


def step_buffers_bytes(plan: ExecutionPlan, model: ModelFacts, draft: ModelFacts | None = None) -> int:
    """What the run loop allocates for the plan's steps, with logits of the plan's own choices alone."""
    return _plan_buffers_bytes(plan, plan.n, model, draft)


def _plan_buffers_bytes(plan: ExecutionPlan, sequences: int, model: ModelFacts, draft: ModelFacts | None) -> int:
    """Buffers of sequences side by side that are all of this plan."""
    drafting = plan.speculation
    logit_rows = max(sequences, min(sequences * drafting.max_rows, _core.MAX_DECODE_ROWS))
    own = _activation_bytes(plan.batch.prefill_chunk, logit_rows, model.activation_row_bytes, model.logits_row_bytes)
    return own + _guessing_bytes(plan, sequences, draft)


def _guessing_bytes(plan: ExecutionPlan, sequences: int, draft: ModelFacts | None) -> int:
    """Tables by which guesses are looked up, or the buffers of a draft model's steps."""
    if plan.speculation.kind == "lookup":
        return sequences * _core.lookup_bytes(plan.batch.context_length)
    if draft is None:
        return 0
    rows = plan.batch.prefill_chunk + _core.DRAFT_FOLLOWING_ROWS * _core.MAX_DECODE_ROWS
    return rows * draft.activation_row_bytes + sequences * draft.logits_row_bytes


def default_activation_bytes(activation_row_bytes: int, logits_row_bytes: int) -> int:
    """Buffers of a step of a plan that leaves its batch open."""
    execution = ExecutionRequest()
    return _activation_bytes(execution.prefill_chunk, execution.max_sequences, activation_row_bytes, logits_row_bytes)


def _activation_bytes(prefill_chunk: int, logit_rows: int, activation_row_bytes: int, logits_row_bytes: int) -> int:
    return (prefill_chunk + _core.MAX_DECODE_ROWS) * activation_row_bytes + logit_rows * logits_row_bytes


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
