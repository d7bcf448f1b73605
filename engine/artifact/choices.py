"""The choices of an execution: sequences that share its prompt and part behind it. Pure."""

from __future__ import annotations

from typing import Final

from protocol.errors import InvalidPlan
from protocol.plan import ExecutionPlan, ExecutionRequest

KV_BLOCK: Final = 64
"""Positions of a block of the KV cache, the least that sequences share."""


def check_choices(execution: ExecutionRequest) -> None:
    """Raises InvalidPlan: more choices than sequences that may share the batch."""
    if execution.n > execution.max_sequences:
        raise InvalidPlan(
            f"n is {execution.n}, and max_sequences {execution.max_sequences}: all choices must fit into one batch",
            field="execution.n",
            value=execution.n,
            maximum=execution.max_sequences,
        )


def kv_positions(plan: ExecutionPlan, prompt_tokens: int) -> int:
    """Keys and values at most: the whole blocks of the prompt once, and the rest of the context for every choice."""
    shared = prompt_tokens // KV_BLOCK * KV_BLOCK if plan.n > 1 else 0
    return shared + plan.n * (plan.batch.context_length - shared)
