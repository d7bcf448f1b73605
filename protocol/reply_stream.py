"""The replies to one request of an asynchronous client."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from protocol.answers import Accepted, EngineMessage, Failed
from protocol.replies import error_of, is_last

if TYPE_CHECKING:
    from protocol.client import Client


class ReplyStream:
    """Iterating over them raises the error of a ``Failed``, and ends after the last one.

    As an asynchronous context manager it gives the request up on exit: an execution that has not finished is cancelled.
    """

    def __init__(self, client: Client, request_id: int, arriving: MemoryObjectReceiveStream[EngineMessage]) -> None:
        self._client = client
        self._request_id = request_id
        self._arriving = arriving
        self._execution_id: str | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more replies; cancel the execution if it still runs."""
        self._client.forget(self._request_id)
        self._arriving.close()
        if self._execution_id is not None and not self._ended:
            self._ended = True
            with anyio.move_on_after(1, shield=True):
                await self._client.post_cancel(self._execution_id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EngineMessage:
        if self._ended:
            raise StopAsyncIteration
        message = await self.receive()
        if isinstance(message, Accepted):
            self._execution_id = message.execution_id
        if is_last(message):
            self._ended = True
            self._client.forget(self._request_id)
            self._arriving.close()
        if isinstance(message, Failed):
            raise error_of(message)
        return message

    async def receive(self) -> EngineMessage:
        """The next reply, whatever it is. Raises EngineUnreachable, or the error the connection ended with."""
        try:
            try:
                return self._arriving.receive_nowait()
            except anyio.WouldBlock:
                return await self._arriving.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended = True
            raise self._client.ending from None
