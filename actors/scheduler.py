"""Decides who runs, each execution by its own plan's policy.

Owns        the queue of accepted executions and the list of admitted ones
Receives    Enqueue, Withdraw from the control plane; SlotFreed from the executor
Sends       Queued, QueueFull, Admitted, Withdrawn to the control plane; Start, Halt to the executor
Fails when  a policy raises: it is a pure function of valid metadata, so that is a fault of the engine
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, replace

import trio
from typing_extensions import assert_never

from actors.base import Actor, Inbox
from actors.messages import (
    Admitted,
    ControlEvent,
    Enqueue,
    ExecutorRequest,
    Halt,
    Queued,
    QueueFull,
    SchedulerRequest,
    SlotFreed,
    Start,
    Withdraw,
    Withdrawn,
)
from actors.policies.admission import Admission, decide
from actors.policies.candidate import Candidate
from actors.policies.requester import Requester
from actors.policies.shares import Shares

_DURATIONS = 32
"""Finished executions whose mean duration tells how soon a full queue moves."""
_UNKNOWN_DURATION_MS = 1000


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """How many executions are queued and admitted."""

    queued: int
    """Accepted and waiting."""
    admitted: int
    """With the executor."""


class Scheduler(Actor):
    """The actor that keeps the queue and admits executions."""

    def __init__(
        self,
        above: Inbox[SchedulerRequest],
        below: Inbox[SlotFreed],
        control_plane: Inbox[ControlEvent],
        executor: Inbox[ExecutorRequest],
        max_queued: int,
    ) -> None:
        self._above = above
        self._below = below
        self._control_plane = control_plane
        self._executor = executor
        self._room = Shares(max_queued)
        self._queued: dict[str, Enqueue] = {}
        self._admitted: dict[str, Candidate] = {}
        self._admitted_ns: dict[str, int] = {}
        self._durations_ms: deque[float] = deque(maxlen=_DURATIONS)
        self._changed = trio.Event()

    def start_tasks(self) -> None:
        """Serve both inboxes and admit."""
        self.serve(self._above, self._on_request)
        self.serve(self._below, self._on_slot_freed)
        self.nursery.start_soon(self._dispatch)

    def statistics(self) -> SchedulerStatistics:
        """The lengths of the queue and of what runs."""
        return SchedulerStatistics(queued=len(self._queued), admitted=len(self._admitted))

    async def _on_request(self, request: SchedulerRequest) -> None:
        match request:
            case Enqueue():
                await self._enqueue(request)
            case Withdraw():
                await self._withdraw(request.execution_id)
            case _:
                assert_never(request)

    async def _enqueue(self, request: Enqueue) -> None:
        execution_id, requester = request.candidate.execution_id, request.candidate.requester
        if not self._room.take(requester):
            full = QueueFull(
                execution_id=execution_id,
                queued=len(self._queued),
                own=self._own(requester),
                retry_after_ms=self._retry_after_ms(),
            )
            await self._control_plane.put(full)
            return
        # Told before it can be admitted, so that nothing about it can reach the control plane any earlier.
        await self._control_plane.put(Queued(execution_id=execution_id))
        candidate = request.candidate.model_copy(update={"ahead": self._own(requester)})
        self._queued[execution_id] = replace(request, candidate=candidate)
        self._changed.set()

    async def _withdraw(self, execution_id: str) -> None:
        if self._leave(execution_id) is not None:
            self._changed.set()
            await self._control_plane.put(Withdrawn(execution_id=execution_id))
        elif execution_id in self._admitted:
            await self._executor.put(Halt(execution_id=execution_id))

    def _own(self, requester: Requester) -> int:
        """Executions of a client, queued and admitted."""
        queued = sum(other.candidate.requester == requester for other in self._queued.values())
        return queued + sum(other.requester == requester for other in self._admitted.values())

    def _leave(self, execution_id: str) -> Enqueue | None:
        """What was queued of that id, and is no longer."""
        request = self._queued.pop(execution_id, None)
        if request is not None:
            self._room.give_back(request.candidate.requester)
        return request

    async def _on_slot_freed(self, event: SlotFreed) -> None:
        """Wakes the dispatch instead of sending: who serves the inbox from below never waits for one below."""
        del self._admitted[event.execution_id]
        started_ns = self._admitted_ns.pop(event.execution_id)
        self._durations_ms.append((time.monotonic_ns() - started_ns) / 1e6)
        self._changed.set()

    async def _dispatch(self) -> None:
        wake_ns: int | None = None
        while True:
            await self._wait_for_change(wake_ns)
            self._changed = trio.Event()
            candidates = [request.candidate for request in self._queued.values()]
            decision = decide(time.monotonic_ns(), candidates, self._admitted.values())
            for admission in decision.admitted:
                await self._admit(admission)
            wake_ns = decision.wake_ns

    async def _wait_for_change(self, wake_ns: int | None) -> None:
        """Until something happens, or the moment that a policy named."""
        seconds = math.inf if wake_ns is None else max(0.0, (wake_ns - time.monotonic_ns()) / 1e9)
        with trio.move_on_after(seconds):
            await self._changed.wait()

    async def _admit(self, admission: Admission) -> None:
        execution_id = admission.execution_id
        now_ns = time.monotonic_ns()
        await self._control_plane.put(Admitted(execution_id=execution_id, admitted_ns=now_ns))
        request = self._leave(execution_id)
        if request is None:
            return  # withdrawn while the control plane was told
        self._admitted[execution_id] = request.candidate
        self._admitted_ns[execution_id] = now_ns
        await self._executor.put(
            Start(
                execution_id=execution_id,
                connection_id=request.connection_id,
                request_id=request.request_id,
                planned=request.planned,
                prefill_rank=admission.prefill_rank,
                prefill_share=admission.prefill_share,
            )
        )

    def _retry_after_ms(self) -> int:
        """When the first slot is likely to be free: the mean duration, shared by all that run side by side."""
        if not self._durations_ms:
            return _UNKNOWN_DURATION_MS
        mean_ms = sum(self._durations_ms) / len(self._durations_ms)
        return max(1, round(mean_ms / max(1, len(self._admitted))))
