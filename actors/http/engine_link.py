"""The gateway's way to the engine: a connection in this process for each request, as any client has one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.entrance import Entrance
from actors.faults import TellFault
from actors.http.limits import HttpLimits
from actors.http.options import HttpRules
from actors.policies.requester import Requester
from engine.host.client_socket import ClientSocket
from protocol.client import Client, open_client
from protocol.message import AnswerT, InterimT, Request, StreamRequest
from protocol.transport import ByteTransport

Look = Callable[[Request[Any]], None]
"""A look at a request. It may raise."""


class GatewayClient(Client):
    """A client that looks at each request before it sends it: every dialect's way to the engine is this one."""

    def __init__(self, look: Look, transport: ByteTransport) -> None:
        super().__init__(transport)
        self._look = look

    async def ask(self, request: Request[AnswerT]) -> AnswerT:
        """See :meth:`Client.ask`."""
        self._look(request)
        return await super().ask(request)

    def follow(self, request: StreamRequest[InterimT, AnswerT]) -> AsyncGenerator[InterimT | AnswerT, None]:
        """See :meth:`Client.follow`."""
        self._look(request)
        return super().follow(request)


@dataclass(frozen=True, slots=True)
class EngineLink:
    """What every request needs to be answered."""

    connect: Callable[[Requester, ClientSocket], ByteTransport]
    """A connection for the sake of a client of HTTP, to whose socket its tokens may be written."""
    entrance: Entrance
    """What its connections share with those of the engine's own sockets."""
    rules: HttpRules
    limits: HttpLimits
    tell_fault: TellFault

    def client(
        self, requester: Requester, client_socket: ClientSocket, look: Look
    ) -> AbstractAsyncContextManager[Client]:
        """A client for one request. One of several would be held up by the slowest of those who share it."""
        return open_client(self.connect(requester, client_socket), make=partial(GatewayClient, look))
