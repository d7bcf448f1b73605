"""Scheduling policies: pure functions from frozen metadata to the executions to admit now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from protocol.model import Value
from protocol.plan import ExecutionPlan


class Group(Value):
    """Executions of equal groups may share a batch."""

    content_hash: str
    quantization: str
    backend: str
    kv_cache: str
    threads: int


class Candidate(Value):
    """All that a policy may know about an execution."""

    execution_id: str
    group: Group
    max_sequences: int
    """Most sequences that it is willing to share its batch with, itself included."""
    prompt_tokens: int
    max_tokens: int
    priority: int


def candidate_of(execution_id: str, plan: ExecutionPlan, prompt_tokens: int) -> Candidate:
    return Candidate(
        execution_id=execution_id,
        group=Group(
            content_hash=plan.model_ref.content_hash,
            quantization=plan.quantization,
            backend=plan.backend,
            kv_cache=plan.kv_cache,
            threads=plan.threads,
        ),
        max_sequences=plan.batch.max_sequences,
        prompt_tokens=prompt_tokens,
        max_tokens=plan.limits.max_tokens,
        priority=plan.priority,
    )


def admit_in_order(queued: Sequence[Candidate], running: Iterable[Candidate]) -> tuple[str, ...]:
    """The ``default`` policy: first come, first served, within each group; groups do not wait for each other.

    A batch never exceeds the smallest ``max_sequences`` of its members. Nobody overtakes in a group: the first that
    does not fit holds back those behind it, so a wait is bounded by the executions ahead.
    """
    sizes: Counter[Group] = Counter()
    limits: dict[Group, int] = {}
    for member in running:
        _join(member, sizes, limits)
    admitted: list[str] = []
    held_back: set[Group] = set()
    for candidate in queued:
        group = candidate.group
        fits = sizes[group] < min(candidate.max_sequences, limits.get(group, candidate.max_sequences))
        if group in held_back or not fits:
            held_back.add(group)
            continue
        _join(candidate, sizes, limits)
        admitted.append(candidate.execution_id)
    return tuple(admitted)


def _join(member: Candidate, sizes: Counter[Group], limits: dict[Group, int]) -> None:
    sizes[member.group] += 1
    limits[member.group] = min(limits.get(member.group, member.max_sequences), member.max_sequences)
