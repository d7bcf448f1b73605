"""Executions on their way into the scheduler's queue, and out of it: begun, told to stop, ended by their deadlines.

The part of the control plane that puts requests to the scheduler. It waits for the scheduler alone.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import trio

from actors.availability import require_watch
from actors.base import Inbox
from actors.deadlines import Deadlines
from actors.execution import Execution
from actors.executions import Executions
from actors.faults import Faults
from actors.messages import Enqueue, SchedulerRequest, Withdraw
from actors.policies.requester import Requester
from engine.planned_execution import PlannedExecution
from protocol.record import StopReason


def new_execution_id() -> str:
    """An id that no other execution has."""
    return f"exec-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class ExecutionRequester:
    """Who asked for an execution, and when."""

    connection_id: int
    request_id: int
    requester: Requester
    received_ns: int


class ExecutionQueue:
    """What begins and withdraws executions."""

    def __init__(
        self,
        executions: Executions,
        scheduler: Inbox[SchedulerRequest],
        faults: Faults,
        nursery: Callable[[], trio.Nursery],
    ) -> None:
        """``nursery``: for deadlines, and for what must not wait."""
        self._executions = executions
        self._scheduler = scheduler
        self._faults = faults
        self._nursery = nursery
        self._deadlines = Deadlines()

    async def begin(self, planned: PlannedExecution, execution_id: str, asked: ExecutionRequester) -> None:
        """Queue an execution. Raises EnergyUnavailable: see :func:`require_watch`."""
        require_watch(planned.plan, self._faults.failed)
        execution = Execution(
            execution_id=execution_id,
            connection_id=asked.connection_id,
            request_id=asked.request_id,
            requester=asked.requester,
            received_ns=asked.received_ns,
            planned=planned,
            queued_ns=time.monotonic_ns(),
        )
        self._executions.add(execution)
        enqueue = Enqueue(
            candidate=execution.candidate(),
            planned=execution.planned,
            connection_id=execution.connection_id,
            request_id=execution.request_id,
        )
        on_deadline = partial(self.withdraw, [execution], "deadline")
        self._deadlines.begin(self._nursery(), execution.execution_id, execution.deadline_ns, on_deadline)
        try:
            await self._scheduler.put(enqueue)
        except trio.Cancelled:
            self._deadlines.end(execution.execution_id)
            self._executions.remove(execution)
            raise

    async def withdraw(self, executions: Iterable[Execution], reason: StopReason) -> None:
        """Tell executions to stop, those that were not told before."""
        for execution in executions:
            if execution.stop_asked is None:
                execution.stop_asked = reason
                await self._scheduler.put(Withdraw(execution_id=execution.execution_id))

    def withdraw_soon(self, execution: Execution, reason: StopReason) -> None:
        """In a task of its own: who serves the events from below never waits for the scheduler."""
        self._nursery().start_soon(self.withdraw, [execution], reason)

    def conclude(self, execution: Execution) -> None:
        """It is no more."""
        self._deadlines.end(execution.execution_id)
