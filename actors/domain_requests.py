"""Requests that need no execution: the engine's knowledge answers them in a worker thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from actors.executions import Executions
from actors.fair_turns import FairTurns
from actors.limits import ServiceLimits
from actors.messages import ClientRequest
from actors.operations import Tell, carry_out
from actors.policies.requester import Requester
from actors.ports import Domain
from actors.workers import Workers
from protocol.answers import AnswerMessage, ModelRemoved, Progress
from protocol.message import Request
from protocol.progress import StageProgress
from protocol.requests import RemoveModel


class DomainRequests:
    """The handlers of such requests, each to be awaited in a task of its own: cancelled, it ends the work with it.

    They raise EngineError.
    """

    def __init__(
        self,
        domain: Domain,
        workers: Workers,
        limits: ServiceLimits,
        deliver: Callable[[int, AnswerMessage], Awaitable[None]],
        executions: Executions,
    ) -> None:
        """``deliver`` takes a connection, and the progress to tell there."""
        self._domain = domain
        self._workers = workers
        self._downloads = FairTurns(limits.downloads)
        self._download_threads = trio.CapacityLimiter(limits.downloads)
        self._deliver = deliver
        self._executions = executions
        self._operations = FairTurns(1)

    @property
    def operating(self) -> bool:
        """Something of this engine, and no execution, keeps the machine busy."""
        return self._operations.busy

    async def answer(self, message: Request[Any], request: ClientRequest) -> AnswerMessage:
        """The answer that a worker thread finds by itself."""
        return await self._workers.run(request.requester, partial(self._domain.answers[type(message)], message))

    async def remove_model(self, message: RemoveModel, request: ClientRequest) -> ModelRemoved:
        """The answer to ``RemoveModel``; models that executions in progress need stay."""
        work = partial(self._domain.remove_model, message, self._executions.by_model())
        return await self._workers.run(request.requester, work)

    async def operate(self, message: Request[Any], request: ClientRequest) -> AnswerMessage:
        """Carry out what keeps the machine busy, one at a time."""
        return await self.carry_out(message, request.requester, partial(self._tell, request))

    async def carry_out(self, message: Request[Any], asker: Requester, tell: Tell) -> AnswerMessage:
        """The same, telling elsewhere how far it has come."""
        async with self._operations.turn(asker):
            self._executions.disturb()
            return await carry_out(self._domain.operations[type(message)](message), tell)

    async def download(self, message: Request[Any], request: ClientRequest) -> AnswerMessage:
        """Carry out what may wait for the network, a few at a time."""
        # Its thread may wait for the network, so it is not awaited.
        operation = self._domain.downloads[type(message)](message)
        async with self._downloads.turn(request.requester):
            return await carry_out(operation, partial(self._tell, request), self._download_threads, await_end=False)

    async def _tell(self, request: ClientRequest, progress: StageProgress) -> None:
        message = Progress(request_id=request.message.request_id, **dict(progress))
        await self._deliver(request.connection_id, message)
