"""A client's connected socket, read and written when its turn at the event loop comes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from actors.loop_turns import LoopTurns
from engine.host.event_log import log_event

_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Why the system may refuse a connection that can be had later."""
_RETRY_S: Final = 0.1


class ClientStream:
    """A connected stream socket. Its methods raise ClosedResourceError once :meth:`close` was called."""

    def __init__(self, connected: socket.socket, turns: LoopTurns) -> None:
        self.socket = connected
        self.turns = turns
        connected.setblocking(False)

    async def receive(self, most: int) -> bytes:
        """At most so many bytes; none at the end. Raises OSError: the connection is broken."""
        while True:
            await self.turns.wait(self._descriptor, "read")
            self._require_open()
            try:
                return self.socket.recv(most)
            except BlockingIOError:
                continue

    async def send(self, data: bytes | memoryview) -> int:
        """How much of it the socket took, waiting until it takes some. Raises OSError: the connection is broken."""
        while True:
            await self.turns.wait(self._descriptor, "write")
            self._require_open()
            try:
                return self.socket.send(data)
            except BlockingIOError:
                continue

    def send_end(self) -> None:
        """Say that nothing more is sent. Raises OSError: the connection is broken."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hang up. Idempotent."""
        descriptor = self.socket.fileno()
        if descriptor >= 0:
            self.turns.forget(descriptor)
            trio.lowlevel.notify_closing(descriptor)
            self.socket.close()

    @property
    def _descriptor(self) -> int:
        self._require_open()
        return self.socket.fileno()

    def _require_open(self) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("this end of the connection was closed")


Serve = Callable[[ClientStream], Awaitable[None]]


async def accept_clients(
    listener: trio.SocketListener, turns: LoopTurns, serve: Serve, nursery: trio.Nursery, name: str
) -> None:
    """Accept one client in each turn of the loop, and serve it in a task of that name, until it is cancelled."""
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                log_event("warning", "accept_failed", reason=os.strerror(error.errno))
                await trio.sleep(_RETRY_S)
            else:
                # Trio has set what a stream's socket needs; its own reading would wake all clients at once.
                connected = socket.socket(fileno=stream.socket.detach())
                nursery.start_soon(partial(_serve, serve), ClientStream(connected, turns), name=name)


async def _serve(serve: Serve, stream: ClientStream) -> None:
    try:
        await serve(stream)
    finally:
        stream.close()
