"""Who is admitted now: the earliest due of each group, while its batch has room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from typing_extensions import assert_never

from actors.policies.candidate import Candidate
from actors.policies.due_time import GATHER_MS, due_ns, prefill_ms
from actors.policies.turns import in_turn
from engine.batch_key import BatchKey
from protocol.value import Value

LONG_PREFILL_MS = 500.0
"""From this estimate on, the prompt of some policies' executions stands back for shorter ones."""
_STANDS_BACK = ("latency", "latency_energy_balanced")
_LONG_PREFILL_DIVISOR = 16
"""What part of a chunk it may take while others decode."""
_RESERVED_SHARE = 4
"""Under ``latency``, one of this many slots is kept for shorter prompts."""


class Admission(Value):
    """One execution to start now."""

    execution_id: str
    prefill_rank: int
    """Where its prompt stands among the waiting prompts of its group: the lower the earlier."""
    prefill_share: int
    """Most tokens of its prompt in a step in which others decode."""


class Decision(Value):
    """The executions to start now, and when to decide again."""

    admitted: tuple[Admission, ...]
    wake_ns: int | None
    """When to decide again though nothing has happened; ``None``: there is no such moment."""


def decide(now_ns: int, queued: Sequence[Candidate], running: Iterable[Candidate]) -> Decision:
    """Admit the earliest due of each group; groups do not wait for each other's batches.

    A batch never exceeds the smallest ``max_sequences`` of its members. An execution that does not fit holds back
    those due after it. One that waits by its own policy's choice holds back nobody, and waits until it is due at most.
    ``queued`` is in order of arrival, which decides between equal due times. Where several clients wait, what each had
    already counts too (:mod:`actors.policies.turns`).
    """
    batches = _Batches(queued, running)
    due = {one.execution_id: due_ns(one) for one in queued}
    waiting = in_turn(queued, due)
    admitted: list[Admission] = []
    while (candidate := _next(now_ns, waiting, due, batches)) is not None:
        waiting.remove(candidate)
        batches.join(candidate)
        admitted.append(_admission(candidate, due[candidate.execution_id]))
    ends = [end for one in waiting if (end := _wait_end_ns(one, due[one.execution_id], batches)) > now_ns]
    return Decision(admitted=tuple(admitted), wake_ns=min(ends, default=None))


class _Batches:
    """The sequences of each group's running batch, and how many wait for it."""

    def __init__(self, queued: Iterable[Candidate], running: Iterable[Candidate]) -> None:
        self._sizes: dict[BatchKey, int] = {}
        self._limits: dict[BatchKey, int] = {}
        self._queued: dict[BatchKey, int] = {}
        for member in running:
            self._add(member)
        for candidate in queued:
            self._queued[candidate.batch_key] = self._queued.get(candidate.batch_key, 0) + candidate.sequences

    def join(self, candidate: Candidate) -> None:
        self._add(candidate)
        self._queued[candidate.batch_key] -= candidate.sequences

    def size(self, key: BatchKey) -> int:
        return self._sizes.get(key, 0)

    def limit_with(self, candidate: Candidate) -> int:
        return min(candidate.max_sequences, self._limits.get(candidate.batch_key, candidate.max_sequences))

    def queued(self, key: BatchKey) -> int:
        return self._queued[key]

    def others_run(self, key: BatchKey) -> bool:
        return any(size and other != key for other, size in self._sizes.items())

    def _add(self, member: Candidate) -> None:
        self._limits[member.batch_key] = self.limit_with(member)
        self._sizes[member.batch_key] = self.size(member.batch_key) + member.sequences


def _admission(candidate: Candidate, due: int) -> Admission:
    chunk = candidate.batch_key.prefill_chunk
    share = max(1, chunk // _LONG_PREFILL_DIVISOR) if _is_long(candidate) else chunk
    return Admission(execution_id=candidate.execution_id, prefill_rank=due, prefill_share=share)


def _is_long(candidate: Candidate) -> bool:
    """Whether it stands back for shorter prompts, by its own policy."""
    return candidate.policy in _STANDS_BACK and prefill_ms(candidate) >= LONG_PREFILL_MS


def _next(now_ns: int, waiting: Sequence[Candidate], due: dict[str, int], batches: _Batches) -> Candidate | None:
    held_back: set[BatchKey] = set()
    for candidate in waiting:
        if candidate.batch_key in held_back:
            continue
        if batches.size(candidate.batch_key) + candidate.sequences > batches.limit_with(candidate):
            held_back.add(candidate.batch_key)
        elif _wait_end_ns(candidate, due[candidate.execution_id], batches) <= now_ns:
            return candidate
    return None


def _wait_end_ns(candidate: Candidate, due: int, batches: _Batches) -> int:
    """Until when the candidate waits by its policy's choice, though there is room: never longer than it is due."""
    size, limit = batches.size(candidate.batch_key), batches.limit_with(candidate)
    idle = size == 0
    match candidate.policy:
        case "latency":
            stands_back = _is_long(candidate) and size >= limit - limit // _RESERVED_SHARE
            return due if stands_back else candidate.queued_ns
        case "energy" if idle and batches.others_run(candidate.batch_key):
            return due
        case "cost" | "energy" | "latency_energy_balanced":
            chooses = idle and batches.queued(candidate.batch_key) < limit
            gathered = candidate.queued_ns + round(1e6 * GATHER_MS[candidate.policy])
            return min(due, gathered) if chooses else candidate.queued_ns
        case "default" | "energy":
            return candidate.queued_ns
        case _:
            assert_never(candidate.policy)
