"""Replies on their way to the api server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.base import Inbox
from actors.messages import Addressed, Deliver, ToApiServer
from protocol.answers import AnswerMessage, EngineMessage, Failed
from protocol.codec import failed
from protocol.errors import EngineError


class ReplySender:
    """Sends replies to the api server, and counts failures."""

    def __init__(self, api_server: Inbox[ToApiServer], count_failure: Callable[[str], None]) -> None:
        """``count_failure`` is called with the code of each error that goes out."""
        self._api_server = api_server
        self._count_failure = count_failure

    async def reply(self, connection_id: int, message: EngineMessage) -> None:
        """Send one message to a connection."""
        if isinstance(message, Failed):
            self._count_failure(message.code)
        await self.deliver([Addressed(connection_id=connection_id, message=message)])

    async def answer(self, connection_id: int, request_id: int, answer: AnswerMessage | EngineError) -> None:
        """Reply to a request with its answer, or with what it failed for."""
        message = failed(request_id, answer) if isinstance(answer, EngineError) else answer.numbered(request_id)
        await self.reply(connection_id, message)

    async def deliver(self, replies: Sequence[Addressed]) -> None:
        """All in one message."""
        if replies:
            await self._api_server.put(Deliver(replies=tuple(replies)))

    def deliver_nowait(self, replies: Sequence[Addressed]) -> None:
        """:meth:`deliver` without waiting, while executions run: the api server takes replies where they are put."""
        if replies:
            self._api_server.put_nowait(Deliver(replies=tuple(replies)))
