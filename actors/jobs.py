"""Requests in progress in worker threads: each in a task of its own, and each can be given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field

import trio

from actors.faults import TellFault, summary
from protocol.answers import Failed
from protocol.codec import failed
from protocol.errors import EngineError, InternalError, ShuttingDown


@dataclass(slots=True, eq=False)
class _Job:
    connection_id: int
    request_id: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Jobs:
    """``ended`` is awaited with each job's connection and, where the job did not answer for itself, its failure.

    A job that raises anything but a typed error ends alone: it is told of, and answered with ``internal_error``.
    """

    def __init__(self, ended: Callable[[int, Failed | None], Awaitable[None]], tell_fault: TellFault) -> None:
        self._ended = ended
        self._tell_fault = tell_fault
        self._jobs: set[_Job] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(
        self, nursery: trio.Nursery, connection_id: int, request_id: int, work: Callable[[], Awaitable[None]]
    ) -> None:
        job = _Job(connection_id, request_id)
        self._jobs.add(job)
        nursery.start_soon(self._run, job, work)

    def cancel(self, connection_id: int, request_ids: Container[int]) -> None:
        for job in self._jobs:
            if job.connection_id == connection_id and job.request_id in request_ids:
                job.scope.cancel()

    def cancel_all(self) -> None:
        for job in self._jobs:
            job.scope.cancel()

    async def _run(self, job: _Job, work: Callable[[], Awaitable[None]]) -> None:
        failure: EngineError | None = ShuttingDown("the engine is stopping")
        with job.scope:
            try:
                await work()
                failure = None
            except EngineError as error:
                failure = error
            except Exception as error:  # a fault of what was asked, which nobody else depends on
                self._tell_fault("job", error, "answered")
                failure = InternalError(f"the engine failed at this request: {summary(error)}")
        self._jobs.remove(job)
        await self._ended(job.connection_id, None if failure is None else failed(job.request_id, failure))
