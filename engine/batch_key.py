"""What makes plans share work: equal weights, and equal batches."""

from __future__ import annotations

from engine.draft_plan import draft_plan
from protocol.plan import ExecutionPlan
from protocol.value import Value


class WeightsKey(Value):
    """Plans equal in these share weights in memory."""

    content_hash: str
    quantization: str
    backend: str

    @classmethod
    def of(cls, plan: ExecutionPlan) -> WeightsKey:
        """The key of a plan."""
        return cls(content_hash=plan.model_ref.content_hash, quantization=plan.quantization, backend=plan.backend)

    @classmethod
    def of_draft(cls, plan: ExecutionPlan) -> WeightsKey | None:
        """That of the model which guesses for a plan; ``None`` where none does."""
        draft = draft_plan(plan)
        return None if draft is None else cls.of(draft)


class BatchKey(Value):
    """Plans equal in these may share a batch: their sequences are rows of the same steps.

    The scheduler counts a batch's sequences by this key, and the run loop brings sequences together by its fields
    (``GroupSettings`` in ``csrc/runtime/loop/group.h``), so both mean the same batch. The KV cache's type is no part of
    it: a step reads each sequence's cache as what it is. Nor is what guesses: a step takes each sequence's own guesses.
    """

    weights: WeightsKey
    threads: int
    spin_us: int
    prefill_chunk: int

    @classmethod
    def of(cls, plan: ExecutionPlan) -> BatchKey:
        """The key of a plan."""
        return cls(
            weights=WeightsKey.of(plan),
            threads=plan.threads,
            spin_us=plan.spin_us,
            prefill_chunk=plan.batch.prefill_chunk,
        )
