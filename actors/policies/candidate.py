"""All that a policy may know about an execution."""

from __future__ import annotations

from actors.policies.requester import Requester
from engine.batch_key import BatchKey
from protocol.plan import ExecutionPlan, SchedulerPolicy
from protocol.value import Value


class Cost(Value):
    """What an execution asks of any machine, counted from its plan."""

    prefill_macs: int
    """Multiply-accumulates of its prompt."""
    weights_bytes: int
    """Read once in a decode step, for every sequence of the batch."""
    kv_cache_bytes: int
    """Read in a decode step at most, for its own sequences alone."""


class Candidate(Value):
    """An execution's features that policies decide by."""

    execution_id: str
    requester: Requester
    """Executions equal in it share what is one client's due."""
    ahead: int = 0
    """Executions that the client had in the engine when this one came."""
    batch_key: BatchKey
    """Executions equal in it form a group: they may share a batch."""
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
    nominal_watts: float
    """What the machine is taken to draw while it computes."""
    queued_ns: int


def candidate_of(
    execution_id: str, requester: Requester, plan: ExecutionPlan, prompt_tokens: int, cost: Cost, queued_ns: int
) -> Candidate:
    """What the scheduler decides on: the plan, its estimates and when it was queued, nothing of other executions."""
    return Candidate(
        execution_id=execution_id,
        requester=requester,
        batch_key=BatchKey.of(plan),
        policy=plan.scheduler_policy,
        priority=plan.priority,
        sequences=plan.n,
        max_sequences=plan.batch.max_sequences,
        prompt_tokens=prompt_tokens,
        max_tokens=plan.limits.max_tokens,
        cost=cost,
        nominal_watts=plan.nominal_watts,
        queued_ns=queued_ns,
    )
