"""The memory that an execution takes: weights, KV cache and the buffers of its steps. Pure."""

from __future__ import annotations

from engine import _core
from engine.artifact.artifact import ModelFacts
from engine.artifact.choices import kv_positions
from protocol.errors import OutOfMemoryBudget
from protocol.plan import ExecutionPlan, ExecutionRequest
from protocol.summaries import PlanEstimate

_MB = 10**6


def estimate(
    plan: ExecutionPlan, model: ModelFacts, prompt_tokens: int, draft: ModelFacts | None = None
) -> PlanEstimate:
    """What a plan asks of the machine, known before anything is allocated. ``draft``: the model that guesses for it."""
    draft_weights_bytes, draft_kv_bytes = 0, 0
    if draft is not None:
        draft_weights_bytes = draft.weights_bytes[plan.backend]
        # Each choice has the prompt in its draft model's cache for itself.
        draft_kv_bytes = draft.kv_bytes_per_token[plan.kv_cache] * plan.n * plan.batch.context_length
    return PlanEstimate(
        weights_bytes=model.weights_bytes[plan.backend] + draft_weights_bytes,
        draft_weights_bytes=draft_weights_bytes,
        kv_cache_bytes=model.kv_bytes_per_token[plan.kv_cache] * kv_positions(plan, prompt_tokens) + draft_kv_bytes,
        activation_bytes=_plan_buffers_bytes(plan, plan.batch.max_sequences, model, draft),
        prompt_tokens=prompt_tokens,
        prefill_macs=model.macs_per_prompt_token * prompt_tokens,
        decode_macs_per_token=model.macs_per_prompt_token + model.macs_of_head,
        decode_bytes_per_token=model.decode_weights_bytes[plan.backend]
        + model.kv_bytes_per_token[plan.kv_cache] * plan.batch.context_length // 2,
    )


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
