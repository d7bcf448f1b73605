"""The way out to one client: an answer in one piece, or a stream that is never silent for long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
from starlette.types import Send

from engine.host.client_socket import ClientSocket

Headers = Mapping[str, str]
_PIECE_BYTES = 2**20
"""What of an answer is given to the socket at a time: it is copied a few times on the way."""


class Wire:
    """Writes one answer. Its methods may be called from several tasks."""

    def __init__(self, send: Send, headers: Headers, client_socket: ClientSocket | None = None) -> None:
        """``client_socket``: where the core may write parts of a stream beside it."""
        self._send = send
        self._client_socket = client_socket
        self._writes_seen = 0
        self._headers = dict(headers)
        """Headers of every answer, such as those that a browser asks for."""
        self._writing = _EagerLock()
        self._spoken_at = trio.current_time()
        self.begun = False
        """The status is sent: what goes wrong now must be told in the stream."""

    async def reply(self, body: bytes, media_type: str, status: int = 200, headers: Headers | None = None) -> None:
        """The whole answer."""
        length = {"content-length": str(len(body))}
        await self._begin(status, media_type, {**length, **(headers or {})})
        *pieces, last = [body[begin : begin + _PIECE_BYTES] for begin in range(0, len(body), _PIECE_BYTES)] or [b""]
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send_last(last)

    @asynccontextmanager
    async def stream(self, media_type: str, comment: bytes, every_s: float) -> AsyncIterator[Wire]:
        """The answer is what the block writes. After each silence of ``every_s`` send the headers, then the comment.

        Without a comment the headers alone are sent: not everything that can be streamed has comments.
        """
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_alive, media_type, comment, every_s)
            try:
                yield self
            except Exception as error:  # raised below, and not from the nursery, which would put it into a group
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        await self._send_last(b"")

    async def begin_stream(self, media_type: str, headers: Headers | None = None) -> None:
        """Send the headers of a stream. No effect once they are sent."""
        if self.begun:
            return
        async with self._writing:
            await self._begin_stream(media_type, headers or {})

    async def write(self, data: bytes) -> None:
        """Send a part of a stream that was begun."""
        if not data:
            return
        async with self._writing:
            self._spoken_at = trio.current_time()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _send_last(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _keep_alive(self, media_type: str, comment: bytes, every_s: float) -> None:
        while True:
            await trio.sleep_until(self._spoken_at + every_s)
            async with self._writing:
                if trio.current_time() < self._spoken_at + every_s or self._core_has_spoken():
                    continue
                self._spoken_at = trio.current_time()
                await self._begin_stream(media_type, {})
                if comment:
                    await self._send({"type": "http.response.body", "body": comment, "more_body": True})

    def _core_has_spoken(self) -> bool:
        """Since this was last asked; then the time of silence begins anew."""
        writes = 0 if self._client_socket is None else self._client_socket.writes
        spoken = writes != self._writes_seen
        if spoken:
            self._writes_seen, self._spoken_at = writes, trio.current_time()
        return spoken

    async def _begin_stream(self, media_type: str, headers: Headers) -> None:
        if not self.begun:
            # What stands between must neither collect the stream nor keep it.
            await self._begin(200, media_type, {"cache-control": "no-cache", "x-accel-buffering": "no", **headers})

    async def _begin(self, status: int, media_type: str, headers: Headers) -> None:
        self.begun = True
        told = {"content-type": media_type, **headers, **self._headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


class _EagerLock:
    """A lock whose taking needs no turn of the event loop where it is free: a stream has hundreds of parts a second."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
