"""Requests in progress in worker threads: each in a task of its own, and each can be given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from actors.faults import TellFault, summary
from protocol.answers import AnswerMessage
from protocol.errors import EngineError, InternalError, ShuttingDown

_CANCELLED_IN_A_TURN: Final = 4

SendAnswer = Callable[[int, int, AnswerMessage | EngineError], Awaitable[None]]
"""Takes a connection, the id of a request there, and what it is answered with."""


@dataclass(slots=True, eq=False)
class _Job:
    connection_id: int
    request_id: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Jobs:
    """``send_answer`` is awaited with the outcome of a job, unless its answer comes later; then ``ended``, without it.

    A job that raises anything but a typed error ends alone: it is told of, and answered with ``internal_error``.
    """

    def __init__(self, send_answer: SendAnswer, ended: Callable[[], Awaitable[None]], tell_fault: TellFault) -> None:
        self._send_answer = send_answer
        self._ended = ended
        self._tell_fault = tell_fault
        self._jobs: set[_Job] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def begin(
        self,
        nursery: trio.Nursery,
        connection_id: int,
        request_id: int,
        work: Callable[[], Awaitable[AnswerMessage | None]],
    ) -> None:
        """Start a job in a task of its own."""
        job = _Job(connection_id, request_id)
        self._jobs.add(job)
        nursery.start_soon(self._run, job, work)

    async def cancel(self, connection_id: int, request_ids: Container[int]) -> None:
        """Cancel the jobs of some requests of a connection."""
        await _cancel(
            [job for job in self._jobs if job.connection_id == connection_id and job.request_id in request_ids]
        )

    async def cancel_all(self) -> None:
        """Cancel every job; each is answered with ``shutting_down``."""
        await _cancel(list(self._jobs))

    async def _run(self, job: _Job, work: Callable[[], Awaitable[AnswerMessage | None]]) -> None:
        answer: AnswerMessage | EngineError | None = ShuttingDown("the engine is stopping")
        with job.scope:
            try:
                answer = await work()
            except EngineError as error:
                answer = error
            except Exception as error:  # a fault of this request, on which no other depends
                self._tell_fault("job", error, "answered")
                answer = InternalError(f"the engine failed at this request: {summary(error)}")
        if answer is not None:
            await self._send_answer(job.connection_id, job.request_id, answer)
        self._jobs.remove(job)
        await self._ended()


async def _cancel(jobs: Sequence[_Job]) -> None:
    """A few in each turn of the loop: what a job held is freed where it ends, which takes a while for long texts."""
    for number, job in enumerate(jobs, 1):
        job.scope.cancel()
        if number % _CANCELLED_IN_A_TURN == 0:
            await trio.lowlevel.checkpoint()
