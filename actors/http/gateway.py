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
from typing import TYPE_CHECKING, Any, cast

import trio

from actors.base import RestartableActor
from actors.faults import HTTP_GATEWAY, TellFault
from actors.http.access import HttpPeer
from actors.http.engine_link import EngineLink
from actors.http.http_connection import HttpConnection, PatientStream
from actors.http.limits import HttpLimits
from actors.http.options import HttpOptions, TcpAddress
from actors.http.peer import peer_uid
from actors.unix_socket import SocketTransport, UnixSocket
from protocol.errors import InvalidRequest
from protocol.transport import ByteTransport

if TYPE_CHECKING:
    from hypercorn.config import Config
    from starlette.types import ASGIApp, Receive, Scope, Send

_BACKLOG = 128


class HttpGateway(RestartableActor):
    """It listens as soon as it is made; whoever connects before it runs is served then.

    Raises:
        InvalidRequest: a socket cannot be put where the options say.
    """

    def __init__(
        self,
        options: HttpOptions,
        connect: Callable[[], ByteTransport],
        tell_fault: TellFault,
        limits: HttpLimits | None = None,
    ) -> None:
        self._limits = limits or HttpLimits()
        self._link = EngineLink(connect, options.rules, self._limits, tell_fault)
        self._tcp = None if options.tcp is None else _listen(options.tcp)
        self._unix = options.passed
        try:
            if options.passed is None and options.socket_path is not None:
                self._unix = UnixSocket.open(options.socket_path)
        except InvalidRequest:
            self.release()
            raise
        self._connections: dict[HttpConnection, None] = {}
        """The one that came first, first."""
        self._listening = trio.CancelScope()
        self._gave_up = False
        self.places = tuple(self._places())
        """Where it listens, for people."""

    def start_tasks(self) -> None:
        """See :class:`actors.base.Actor`."""
        if not self._gave_up:
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
        if self._tcp is not None:
            self._tcp.close()

    async def finish(self) -> None:
        """Take no more connections, and wait for what is being answered, ``leave_s`` at most; then hang up."""
        self._listening.cancel()
        with trio.move_on_after(self._limits.leave_s):
            for connection in tuple(self._connections):
                await connection.wait_rested()
        for connection in tuple(self._connections):
            connection.hang_up()

    async def _serve(self) -> None:
        serve_connection = await trio.to_thread.run_sync(partial(_load, self._link))
        listeners = []
        if self._unix is not None:
            listeners.append(self._unix.listener())
        if self._tcp is not None:
            listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(self._tcp.dup())))
        with self._listening:
            await trio.serve_listeners(
                partial(self._welcome, serve_connection), listeners, handler_nursery=self.nursery
            )
        await trio.sleep_forever()  # until what is being answered has ended too

    async def _welcome(self, serve_connection: ServeConnection, stream: trio.SocketStream) -> None:
        connection = HttpConnection(_http_peer(stream), stream)
        if not self._make_room() or (connection.peer.kind == "unix" and not connection.peer.is_owner):
            await trio.aclose_forcefully(stream)
            return
        self._connections[connection] = None
        try:
            with connection.scope:
                await serve_connection(connection, PatientStream(stream, self._limits))
        except Exception as error:  # hypercorn does not catch all that a client can make it raise: others stay served
            self._link.tell_fault(HTTP_GATEWAY, error, "answered")
        finally:
            del self._connections[connection]
            await trio.aclose_forcefully(stream)

    def _make_room(self) -> bool:
        """Whether there is room for one more; the longest wait without a whole request may have to end for it."""
        if len(self._connections) < self._limits.max_connections:
            return True
        waiting = next((one for one in self._connections if not one.engaged and not one.scope.cancel_called), None)
        if waiting is None:
            return False
        waiting.scope.cancel()
        return True

    def _places(self) -> list[str]:
        places = [] if self._unix is None else [f"unix:{self._unix.path}"]
        if self._tcp is not None:
            host, port = self._tcp.getsockname()[:2]
            places.append(f"http://{TcpAddress(host, port)}")
        return places


ServeConnection = Callable[[HttpConnection, PatientStream], Any]


def _load(link: EngineLink) -> ServeConnection:
    """What serves a connection. Blocking: it imports Starlette and hypercorn."""
    from hypercorn.app_wrappers import ASGIWrapper  # noqa: PLC0415
    from hypercorn.trio.tcp_server import TCPServer  # noqa: PLC0415
    from hypercorn.trio.worker_context import WorkerContext  # noqa: PLC0415

    from actors.http.app import make_app  # noqa: PLC0415

    app = make_app(link)
    config = _config(link.limits)

    async def serve_connection(connection: HttpConnection, stream: PatientStream) -> None:
        wrapped = ASGIWrapper(_with_connection(app, connection))
        # It says TLS and means whatever has a stream's methods; a plain one is told by its lack of a handshake.
        await TCPServer(wrapped, config, WorkerContext(None), {}, cast("Any", stream)).run()

    return serve_connection


def _with_connection(app: ASGIApp, connection: HttpConnection) -> Any:
    async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "connection": connection}, receive, send)

    return with_connection


def _config(limits: HttpLimits) -> Config:
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = limits.header_s
    config.h11_max_incomplete_size = limits.max_header_bytes
    config.h2_max_header_list_size = limits.max_header_bytes
    return config


def _http_peer(stream: trio.SocketStream) -> HttpPeer:
    if stream.socket.family == socket.AF_UNIX:
        return HttpPeer("unix", SocketTransport(stream).peer.uid in {0, os.geteuid()})
    try:
        uid = peer_uid(stream.socket.getpeername()[:2], stream.socket.getsockname()[:2])
    except OSError:
        uid = None  # it has gone already
    return HttpPeer("tcp", uid == os.geteuid())


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
