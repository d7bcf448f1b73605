"""The gateway's way to the engine: a connection in this process for each request, as any client has one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from actors.entrance import Entrance
from actors.faults import TellFault
from actors.http.limits import HttpLimits
from actors.http.options import HttpRules
from actors.policies.requester import Requester
from engine.host.client_socket import ClientSocket
from protocol.client import Client, open_client
from protocol.transport import ByteTransport


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

    def client(self, requester: Requester, client_socket: ClientSocket) -> AbstractAsyncContextManager[Client]:
        """A client for one request. One of several would be held up by the slowest of those who share it."""
        return open_client(self.connect(requester, client_socket))
