"""All that a policy may know about an execution."""

from __future__ import annotations

from protocol.model import Value
from protocol.plan import ExecutionPlan, SchedulerPolicy


class Group(Value):
    """Executions of equal groups may share a batch."""

    content_hash: str
    quantization: str
    backend: str
    kv_cache: str
    threads: int
    spin_us: int
    prefill_chunk: int


class Cost(Value):
    """What an execution asks of any machine, counted from its plan."""

    prefill_macs: int
    """Multiply-accumulates of its prompt."""
    weights_bytes: int
    """Read once in a decode step, for every sequence of the batch."""
    kv_cache_bytes: int
    """Read in a decode step at most, for its own sequences alone."""


class Candidate(Value):
    execution_id: str
    group: Group
    policy: SchedulerPolicy
    priority: int
    """-10 to 10, the higher the sooner."""
    sequences: int = 1
    """Places in a batch that it takes: one for each of its choices."""
    max_sequences: int
    """Most sequences that it is willing to share its batch with, its own included."""
    prompt_tokens: int
    max_tokens: int
    cost: Cost
    watts: float | None
    """Drawn lately while the machine computed; ``None`` where nothing measures."""
    queued_ns: int


def candidate_of(
    execution_id: str, plan: ExecutionPlan, prompt_tokens: int, cost: Cost, queued_ns: int, watts: float | None
) -> Candidate:
    return Candidate(
        execution_id=execution_id,
        group=Group(
            content_hash=plan.model_ref.content_hash,
            quantization=plan.quantization,
            backend=plan.backend,
            kv_cache=plan.kv_cache,
            threads=plan.threads,
            spin_us=plan.spin_us,
            prefill_chunk=plan.batch.prefill_chunk,
        ),
        policy=plan.scheduler_policy,
        priority=plan.priority,
        sequences=plan.n,
        max_sequences=plan.batch.max_sequences,
        prompt_tokens=prompt_tokens,
        max_tokens=plan.limits.max_tokens,
        cost=cost,
        watts=watts,
        queued_ns=queued_ns,
    )
