"""Turns bytes into typed messages and back. It has no opinion about them.

Owns        the connections, the listening socket where there is one
Receives    frames from clients; Deliver, Drained from the control plane
Sends       ClientRequest, Abandon to the control plane; frames to clients
Fails when  the listening socket fails; a client's fault ends at most that client's connection
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import Literal

import trio
from typing_extensions import assert_never

from actors.base import Actor, Inbox
from actors.client_stream import ClientStream, accept_clients
from actors.connection import Connection
from actors.entrance import Entrance, log_refusal, make_entrance
from actors.limits import ServiceLimits
from actors.messages import ControlRequest, Deliver, Drained, ToApiServer
from actors.policies.requester import ENGINE, Requester
from actors.unix_socket import Peer, SocketTransport, UnixSocket
from engine.host.client_socket import ClientSocket
from engine.host.event_log import log_event
from engine.identity.version import ENGINE_VERSION
from protocol.answers import EngineMessage, Welcome
from protocol.build import Build
from protocol.codec import encode, failed
from protocol.errors import EngineError, Overloaded, ShuttingDown
from protocol.framing import encode_frame
from protocol.requests import PROTOCOL_VERSION, ClientMessage
from protocol.transport import EagerTransport, TransportClosed

_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class ApiServerStatistics:
    """The connections and what waits on them."""

    connections: int
    in_flight: int
    """Requests of all connections without their last reply."""
    outbox_bytes: int
    """Replies of all connections that no transport has taken yet."""
    waiting_bytes: int
    """Frames of requests without their last reply, and of those that are being received."""


class ApiServer(Actor):
    """The actor that accepts clients and carries messages between them and the control plane."""

    def __init__(
        self,
        below: Inbox[ToApiServer],
        control_plane: Inbox[ControlRequest],
        unix_socket: UnixSocket | None,
        build: Build,
        capabilities: Callable[[], tuple[str, ...]],
        limits: ServiceLimits,
        count_failure: Callable[[str], None],
        refuse_hopeless: Callable[[ClientMessage], None],
    ) -> None:
        """``count_failure`` is called with the code of each error that it answers with by itself; ``refuse_hopeless``:
        see :class:`Entrance`."""
        self._below = below
        self._control_plane = control_plane
        self._unix_socket = unix_socket
        self._limits = limits
        self._build = build
        self._capabilities = capabilities
        self._allowed_uids = frozenset({0, os.geteuid()})
        self._connections: dict[int, Connection] = {}
        self._client_sockets: dict[int, ClientSocket] = {}
        """Where tokens of a connection may be written: to its own transport, or to an HTTP client behind it."""
        self._entrance = make_entrance(limits, count_failure, refuse_hopeless)
        self._counted: set[Connection] = set()
        """Connections that count towards their bound, and have not been told to go."""
        self._left: OrderedDict[Requester, None] = OrderedDict()
        """Clients whose connection has ended, the latest last."""
        self._connection_ids = count(1)
        self._listening = trio.CancelScope()
        self._draining = False

    def start_tasks(self) -> None:
        """Take replies where they are put, and accept clients where there is a socket."""
        self.serve(self._below, self._on_event)
        self.serve_at_once(self._below, self._deliver)
        self.nursery.start_soon(self._entrance.turns.run)
        if self._unix_socket is not None:
            self.nursery.start_soon(self._listen, self._unix_socket)

    def close(self) -> None:
        """Stop listening."""
        if self._unix_socket is not None:
            self._unix_socket.close()

    def attach(
        self,
        transport: EagerTransport,
        requester: Requester | None,
        client_socket: ClientSocket | None,
        *,
        counted: bool = True,
    ) -> None:
        """Serve a client at the other end of a transport; without a ``requester`` it has a share of its own.

        It counts towards the bound of connections, unless it is one of a server with a bound of its own.
        ``client_socket``: of whom it passes tokens on to, which may be written there instead once it opens their lines.
        """
        self.nursery.start_soon(self._serve_client, transport, None, client_socket, requester, counted)

    def statistics(self) -> ApiServerStatistics:
        """The sums over all connections."""
        each = [connection.statistics() for connection in self._connections.values()]
        return ApiServerStatistics(
            connections=len(each),
            in_flight=sum(one.in_flight for one in each),
            outbox_bytes=sum(one.outbox_bytes for one in each),
            waiting_bytes=self._entrance.room.waiting_bytes,
        )

    @property
    def entrance(self) -> Entrance:
        """What its connections share with those of other servers."""
        return self._entrance

    def client_socket(self, connection_id: int) -> ClientSocket | None:
        """Where a connection's tokens may be written; ``None`` where there is no socket, or no such connection."""
        return self._client_sockets.get(connection_id)

    async def _on_event(self, event: Deliver | Drained) -> None:
        match event:
            case Deliver():
                self._deliver(event)
            case Drained():
                self._drain()
            case _:
                assert_never(event)

    def _deliver(self, event: ToApiServer) -> bool:
        """Post replies, if that is what it asks for."""
        if not isinstance(event, Deliver):
            return False
        messages: defaultdict[int, list[EngineMessage]] = defaultdict(list)
        for reply in event.replies:
            messages[reply.connection_id].append(reply.message)
        for connection_id, own in messages.items():
            # A client that has gone needs no reply; its executions end all the same.
            if connection := self._connections.get(connection_id):
                connection.post(*own)
        return True

    def _drain(self) -> None:
        """Hang up on everybody; the actor ends with its last connection."""
        self._draining = True
        self._listening.cancel()
        for connection in self._connections.values():
            connection.finish()
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._draining and not self._connections:
            self.nursery.cancel_scope.cancel()

    async def _listen(self, unix_socket: UnixSocket) -> None:
        with self._listening:
            turns = self._entrance.turns
            await accept_clients(unix_socket.listener(), turns, self._on_stream, self.nursery, "connection")

    async def _on_stream(self, stream: ClientStream) -> None:
        peer = Peer.of(stream.socket)
        if peer.uid in self._allowed_uids:
            transport = SocketTransport(stream)
            await self._serve_client(transport, transport.client_socket, transport.client_socket, peer.requester)

    def _make_welcome(self) -> Welcome:
        """Not once for all: what the process gave up is known when it has."""
        limits = self._limits
        return Welcome(
            engine_version=ENGINE_VERSION,
            build=self._build,
            protocol_version=PROTOCOL_VERSION,
            capabilities=self._capabilities(),
            limits={"max_frame_bytes": limits.max_request_bytes, "max_in_flight": limits.max_in_flight},
        )

    async def _serve_client(
        self,
        transport: EagerTransport,
        own: ClientSocket | None,
        client_socket: ClientSocket | None,
        requester: Requester | None,
        counted: bool = True,
    ) -> None:
        if self._draining:
            await self._turn_away(transport, ShuttingDown("the engine is stopping"))
            return
        place = self._make_room(requester) if counted else "common"
        if place is None:
            await self._turn_away(transport, self._refuse_room(requester or ENGINE))
            return
        connection_id = next(self._connection_ids)
        connection = Connection(
            connection_id,
            transport,
            self._control_plane,
            self._make_welcome(),
            own,
            requester or Requester(user=ENGINE.user, client=f"connection:{connection_id}"),
            self._entrance,
            for_operator=place == "operator",
        )
        self._connections[connection_id] = connection
        if client_socket is not None:
            self._client_sockets[connection_id] = client_socket
        if counted:
            self._counted.add(connection)
            self._tell_return(connection_id, requester)
        try:
            await connection.serve()
        finally:
            del self._connections[connection_id]
            if counted and requester is not None:
                self._remember(requester)
            self._client_sockets.pop(connection_id, None)
            self._counted.discard(connection)
            self._end_if_drained()

    def _tell_return(self, connection_id: int, requester: Requester | None) -> None:
        """Log a client that was here before."""
        if requester is not None and requester in self._left:
            del self._left[requester]
            log_event("info", "reconnected", connection=connection_id, user=requester.user, client=requester.client)

    def _remember(self, requester: Requester) -> None:
        self._left[requester] = None
        self._left.move_to_end(requester)
        while len(self._left) > self._limits.max_connections:
            self._left.popitem(last=False)

    def _refuse_room(self, requester: Requester) -> Overloaded:
        """Counted and logged."""
        message = f"{self._limits.max_connections} clients are connected already"
        error = Overloaded(message, retry_after_ms=_RETRY_MS)
        self._entrance.count_failure(error.code)
        log_refusal(failed(None, error), requester, None)
        return error

    def _make_room(self, newcomer: Requester | None) -> Literal["common", "operator"] | None:
        """The place for one more: a common one, if need be that of a connection that is missed least; else one of
        those that are kept for the operator."""
        if len(self._counted) < self._limits.max_connections:
            return "common"
        if (missed_least := self._missed_least(newcomer)) is not None:
            self._counted.discard(missed_least)
            message = "this connection was idle, and makes room for another client; connect again"
            log_event("warning", "connection_evicted", connection=missed_least.connection_id)
            missed_least.finish(Overloaded(message, retry_after_ms=_RETRY_MS))
            return "common" if len(self._counted) < self._limits.max_connections else "operator"
        room = self._limits.max_connections + self._limits.operator_connections
        return "operator" if len(self._counted) < room else None

    def _missed_least(self, newcomer: Requester | None) -> Connection | None:
        """An idle connection of the newcomer's own, or of a client that has more than it: of those that have not
        greeted, else of the client with most, the one that has been idle for longest."""
        held = Counter(connection.requester for connection in self._counted)
        idle = [
            ((state[0], -held[connection.requester], state[1]), connection)
            for connection in self._counted
            if (state := connection.idle_since) is not None
            and (newcomer is None or connection.requester == newcomer or held[connection.requester] > held[newcomer])
        ]
        return min(idle, key=itemgetter(0))[1] if idle else None

    async def _turn_away(self, transport: EagerTransport, error: EngineError) -> None:
        with trio.move_on_after(self._limits.flush_s), suppress(TransportClosed):
            await transport.send(encode_frame(encode(failed(None, error))))
        await transport.aclose()
