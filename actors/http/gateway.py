"""Serves HTTP as one more client of the engine. It translates, and decides nothing.

Owns        the sockets of HTTP and their connections
Receives    requests of HTTP clients
Sends       the protocol's frames over connections in this process; answers to HTTP clients
Fails when  a listening socket fails; a client's fault ends at most that client's connection
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

import trio

from actors.base import RestartableActor
from actors.client_stream import ClientStream, accept_clients
from actors.entrance import Entrance
from actors.faults import HTTP_GATEWAY, TellFault
from actors.http.access import HttpPeer
from actors.http.engine_link import EngineLink
from actors.http.limits import HttpLimits
from actors.http.options import HttpOptions, TcpAddress
from actors.http.peer import peer_uid
from actors.loop_turns import LoopTurns
from actors.policies.requester import Requester
from actors.unix_socket import Peer, UnixSocket
from engine.host.client_socket import ClientSocket
from engine.host.interpreter import keep_modules_uncollected
from protocol.dialects.fault import HttpFault
from protocol.errors import InvalidRequest
from protocol.transport import ByteTransport
from protocol.value import build_schemas

if TYPE_CHECKING:
    from actors.http.http_connection import HttpConnection

_BACKLOG = 128
_CROWDED = HttpFault(503, "overloaded", "as many connections as there may be are being answered")


class HttpGateway(RestartableActor):
    """It listens as soon as it is made; whoever connects before it runs is served then.

    Raises:
        InvalidRequest: a socket cannot be put where the options say.
    """

    def __init__(
        self,
        options: HttpOptions,
        connect: Callable[[Requester, ClientSocket], ByteTransport],
        entrance: Entrance,
        tell_fault: TellFault,
        limits: HttpLimits | None = None,
    ) -> None:
        self._limits = limits or HttpLimits()
        self._link = EngineLink(connect, entrance, options.rules, self._limits, tell_fault)
        self._tcp: list[socket.socket] = []
        self._unix = options.passed
        try:
            for address in options.tcp:
                self._tcp.append(_listen(address))
            if options.passed is None and options.socket_path is not None:
                self._unix = UnixSocket.open(options.socket_path)
        except InvalidRequest:
            self.release()
            raise
        self._connections: dict[HttpConnection, None] = {}
        """The one that came first, first."""
        self._turns = LoopTurns()
        self._listening = trio.CancelScope()
        self._gave_up = False
        self.places = tuple(self._places())
        """Where it listens, for people."""

    def start_tasks(self) -> None:
        """See :class:`actors.base.Actor`."""
        if not self._gave_up:
            self.nursery.start_soon(self._turns.run)
            self.nursery.start_soon(self._serve)

    def recover(self, failure: str) -> None:
        """See :class:`actors.base.RestartableActor`."""
        self._listening = trio.CancelScope()

    def give_up(self, failure: str) -> None:
        """See :class:`actors.base.RestartableActor`."""
        self._gave_up = True
        self.release()

    def release(self) -> None:
        """Listen no more, and remove the Unix socket's path."""
        if self._unix is not None:
            self._unix.close()
        for listening in self._tcp:
            listening.close()

    async def finish(self) -> None:
        """Take no more connections, and wait for what is being answered, ``leave_s`` at most; then hang up."""
        self._listening.cancel()
        with trio.move_on_after(self._limits.leave_s):
            for connection in tuple(self._connections):
                await connection.wait_rested()
        for connection in tuple(self._connections):
            connection.scope.cancel()

    async def _serve(self) -> None:
        make_connection = await trio.to_thread.run_sync(partial(_load, self._link))
        listeners = [] if self._unix is None else [self._unix.listener()]
        listeners += [trio.SocketListener(trio.socket.from_stdlib_socket(one.dup())) for one in self._tcp]
        answer = partial(self._answer, make_connection)
        with self._listening:
            async with trio.open_nursery() as accepting:
                for one in listeners:
                    accepting.start_soon(accept_clients, one, self._turns, answer, self.nursery, "HTTP connection")
        await trio.sleep_forever()  # until what is being answered has ended too

    async def _answer(self, make_connection: MakeConnection, stream: ClientStream) -> None:
        peer = _http_peer(stream.socket)
        if peer.kind == "unix" and not peer.is_owner:
            return
        connection = make_connection(peer, stream)
        try:
            if self._make_room():
                self._connections[connection] = None
                await connection.serve()
            else:
                await connection.refuse(_CROWDED)
        except Exception as error:  # one client's connection is no reason to end everyone's
            self._link.tell_fault(HTTP_GATEWAY, error, "answered")
        finally:
            self._connections.pop(connection, None)
            connection.client_socket.close()  # no one else writes to a descriptor that may soon be another's

    def _make_room(self) -> bool:
        """Whether there is room for one more. A connection may have to end for it: see ``max_connections``."""
        if len(self._connections) < self._limits.max_connections:
            return True
        left = [one for one in self._connections if not one.scope.cancel_called]
        waiting = next((one for one in left if not one.engaged), None)
        stalled = [(one.stalled_since, one) for one in left if one.stalled_since is not None]
        if waiting is None and stalled:
            waiting = min(stalled, key=itemgetter(0))[1]
        if waiting is not None:
            waiting.scope.cancel()
        return waiting is not None

    def _places(self) -> list[str]:
        places = [] if self._unix is None else [f"unix:{self._unix.path}"]
        for listening in self._tcp:
            host, port = listening.getsockname()[:2]
            places.append(f"http://{TcpAddress(host, port)}")
        return places


MakeConnection = Callable[[HttpPeer, ClientStream], "HttpConnection"]


def _load(link: EngineLink) -> MakeConnection:
    """What makes a connection of a stream. Blocking: it imports Starlette and h11, and the dialects."""
    from actors.http.app import make_app  # noqa: PLC0415
    from actors.http.http_connection import HttpConnection  # noqa: PLC0415
    from protocol.dialects.shape import Asked, Told  # noqa: PLC0415

    app = make_app(link)
    for kind in (Asked, Told):
        build_schemas(kind)
    keep_modules_uncollected()
    return partial(HttpConnection, app, link.limits)


def _http_peer(connected: socket.socket) -> HttpPeer:
    if connected.family == socket.AF_UNIX:
        peer = Peer.of(connected)
        return HttpPeer("unix", peer.uid in {0, os.geteuid()}, peer.requester)
    try:
        host, port = connected.getpeername()[:2]
        uid = peer_uid((host, port), connected.getsockname()[:2])
    except OSError:
        return HttpPeer("tcp", is_owner=False)  # it has gone already
    user = f"host:{host}" if uid is None else f"uid:{uid}"
    return HttpPeer("tcp", uid == os.geteuid(), Requester(user=user, client=f"port:{port}"))


def _listen(address: TcpAddress) -> socket.socket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, address.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        reason = f"cannot listen there: {error.strerror or error}"
        raise InvalidRequest(f"{address}: {reason}", field="http", reason=reason) from error
    return listening
