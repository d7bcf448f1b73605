"""HTTP/1.1's events over a connected socket: h11 reads and writes the bytes, and nothing waits without end."""

from __future__ import annotations

import re
import select

import h11
import trio

from actors.client_stream import ClientStream
from actors.http.limits import HttpLimits
from engine.host.client_socket import ClientSocket

_PIECE_BYTES = 65_536
"""What is read or written at a time: a client that reads slowly is not one that does not read."""
_HEAD_END = re.compile(rb"\n\r?\n")
_LAST_CHUNK = re.compile(rb"(?:\r\n)?0+[ \t;\r\n]")


class Http1Stream:
    """The server's end of a connection. Reading is one task's at a time, and so is writing."""

    def __init__(self, stream: ClientStream, client_socket: ClientSocket, limits: HttpLimits) -> None:
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.max_header_bytes)
        self.left = False
        """The client sends nothing any more, which is all that can be seen of its leaving."""
        self.writing_since: float | None = None
        """The client has taken nothing of what is sent since then; ``None``: nothing is being sent."""
        self._stream = stream
        self._client_socket = client_socket
        self._limits = limits

    async def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What comes next; NEED_DATA never does.

        Raises:
            h11.RemoteProtocolError: the client does not speak HTTP, or left in the middle (see ``left``).
        """
        self._require_few_lines()
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self._receive())
            self._require_few_lines()
        return event

    def _require_few_lines(self) -> None:
        """Refuse a head, or what follows the last chunk, of so many lines that reading them would take long: h11 reads
        them at once."""
        if self.http.their_state not in (h11.IDLE, h11.SEND_BODY):
            return
        ahead = self.http.trailing_data[0]
        if self.http.their_state is h11.SEND_BODY and not _LAST_CHUNK.match(ahead):
            return
        end = _HEAD_END.search(ahead)
        if ahead.count(b"\n", 0, end.end() if end else len(ahead)) > self._limits.max_header_lines:
            raise h11.RemoteProtocolError(f"more than {self._limits.max_header_lines} lines of headers", 431)

    async def wait_left(self) -> None:
        """Until the client leaves. What it sends meanwhile, its next requests, is kept up to a bound."""
        while not self.left and len(self.http.trailing_data[0]) < self._limits.max_ahead_bytes:
            self.http.receive_data(await self._receive())
        # More is not read, and so its end not seen, until what came is answered.
        while not self.left:
            await trio.sleep(self._limits.patience_s)
            self.left = _has_hung_up(self._stream.socket.fileno())

    async def send(self, *events: h11.Event) -> None:
        """Send events together. Where the client takes nothing for ``write_s``, or is gone, raises ClientLost."""
        data = b"".join(self.http.send(event) or b"" for event in events)
        # What the socket takes goes without a turn of the event loop: a stream has hundreds of parts a second.
        if left := self._client_socket.send(data):
            await self._send_patiently(memoryview(left))
            self._client_socket.release()

    async def _send_patiently(self, view: memoryview) -> None:
        while view:
            self.writing_since = trio.current_time()
            sent = 0
            with trio.move_on_after(self._limits.write_s):
                try:
                    sent = await self._stream.send(view[:_PIECE_BYTES])
                except OSError as error:
                    raise ClientLost from error
                finally:
                    self.writing_since = None
            if not sent:
                raise ClientLost
            view = view[sent:]

    async def linger(self) -> None:
        """Say that nothing more is sent, and let the client read what was before its own bytes cut it short."""
        with trio.move_on_after(self._limits.linger_s):
            try:
                self._stream.send_end()
            except OSError:
                return
            while not self.left:
                await self._receive()

    async def _receive(self) -> bytes:
        try:
            data = await self._stream.receive(_PIECE_BYTES)
        except OSError:
            data = b""
        self.left = not data
        return data


class ClientLost(Exception):  # noqa: N818  no error: clients leave
    """The client takes nothing any more."""


def _has_hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return bool(poll.poll(0))
