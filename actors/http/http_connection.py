"""One client's connection: hypercorn reads and writes HTTP, behind a stream that waits for nobody without end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from actors.http.access import HttpPeer
from actors.http.limits import HttpLimits

_PIECE_BYTES = 65_536
"""What is written at a time: a client that reads slowly is not one that does not read."""


@dataclass(eq=False)
class HttpConnection:
    """A connection, from its being accepted to its end."""

    peer: HttpPeer
    stream: trio.SocketStream
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Cancelled, the connection ends."""
    engaged: int = 0
    """Requests that arrived whole and are not answered yet. Without one, it may have to make room for others."""
    _rested: trio.Event = field(default_factory=trio.Event)

    @contextmanager
    def engagement(self) -> Iterator[None]:
        """One request more, for as long as the block."""
        self.engaged += 1
        try:
            yield
        finally:
            self.engaged -= 1
            if not self.engaged:
                self._rested.set()
                self._rested = trio.Event()

    def hang_up(self) -> None:
        """Fail what is being read or written: hypercorn shields its writing from being cancelled."""
        self.stream.socket.close()

    async def wait_rested(self) -> None:
        """Until every request that arrived is answered."""
        if self.engaged:
            await self._rested.wait()


class PatientStream:
    """A connected socket as hypercorn wants one. Writes fail when the client takes nothing for ``write_s``."""

    def __init__(self, stream: trio.SocketStream, limits: HttpLimits) -> None:
        self._stream = stream
        self._limits = limits
        self.socket = stream.socket

    async def send_all(self, data: bytes) -> None:
        """Raises trio.BrokenResourceError, trio.ClosedResourceError."""
        view = memoryview(data)
        while view:
            sent = 0
            with trio.move_on_after(self._limits.write_s):
                try:
                    sent = await self.socket.send(view[:_PIECE_BYTES])
                except OSError as error:
                    raise trio.BrokenResourceError(str(error)) from error
            if not sent:
                await self._stream.aclose()
                raise trio.BrokenResourceError(f"the client took nothing for {self._limits.write_s:g} s")
            view = view[sent:]

    async def receive_some(self, max_bytes: int) -> bytes:
        """What has arrived, ``max_bytes`` at most; nothing at the end."""
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the socket."""
        await self._stream.aclose()
