"""A connected Unix socket as a transport, under asyncio and trio alike."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
from typing_extensions import Self

from protocol.transport import TransportClosed
from protocol.unix_connect import connect_unix

_RECEIVE_BYTES = 65_536


class UnixTransport:
    """One task may send while another receives.

    Waits for the descriptor and reads it, nothing between: a stream of anyio's first tries to read, which fails nearly
    always where messages come one by one.
    """

    def __init__(self, connected: socket.socket) -> None:
        """The socket is the transport's from now on."""
        connected.setblocking(False)
        self._socket = connected

    @classmethod
    async def connect(cls, path: Path, patience_s: float) -> Self:
        """Raises OSError, and so TimeoutError where nobody takes the connection within ``patience_s``."""
        # A thread waits where many connect at once, as one that does not block cannot.
        return cls(await anyio.to_thread.run_sync(connect_unix, path, patience_s, abandon_on_cancel=True))

    async def send(self, data: bytes) -> None:
        """Send everything, waiting while the peer does not read. Raises TransportClosed."""
        unsent = memoryview(data)
        try:
            while unsent:
                try:
                    unsent = unsent[self._socket.send(unsent) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
        except (OSError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error

    async def receive(self) -> bytes:
        """At least one byte. Raises TransportClosed at the end."""
        try:
            while True:
                await anyio.wait_readable(self._socket)
                try:
                    data = self._socket.recv(_RECEIVE_BYTES)
                    break
                except BlockingIOError:
                    continue
        except (OSError, anyio.ClosedResourceError) as error:
            raise TransportClosed from error
        if not data:
            raise TransportClosed
        return data

    async def aclose(self) -> None:
        """Hang up. Idempotent."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()
