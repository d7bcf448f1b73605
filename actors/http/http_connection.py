"""One client's connection: its requests, one after another, each answered by the application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h11
import trio
from starlette.types import ASGIApp

from actors.client_stream import ClientStream
from actors.http.access import HttpPeer
from actors.http.http1_stream import ClientLost, Http1Stream
from actors.http.http_error import HttpError
from actors.http.http_exchange import HttpExchange
from actors.http.limits import HttpLimits
from engine.host.client_socket import ClientSocket
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.shape import to_json


class HttpConnection:
    """A connection, from its being accepted to its end. Scopes of its requests have it as ``connection``."""

    def __init__(self, app: ASGIApp, limits: HttpLimits, peer: HttpPeer, stream: ClientStream) -> None:
        self.peer = peer
        self.scope = trio.CancelScope()
        """Cancelled, the connection ends."""
        self.engaged = False
        """A request arrived whole and is not answered yet. Without one, it may have to make room for others."""
        self.turns = stream.turns
        """At the event loop, for whoever has more of it to do."""
        self._app = app
        self._limits = limits
        self.client_socket = ClientSocket(stream.socket.fileno(), chunks=True)
        """Where the core may write texts of the answer."""
        self._stream = Http1Stream(stream, self.client_socket, limits)
        self._rested = trio.Event()

    @property
    def stalled_since(self) -> float | None:
        """When its client began to take nothing of its answer; ``None`` where it takes what it is sent."""
        since = self._stream.writing_since
        return None if since is None or trio.current_time() - since < self._limits.patience_s else since

    @contextmanager
    def engagement(self) -> Iterator[None]:
        """A request is being answered, for as long as the block."""
        self.engaged = True
        try:
            yield
        finally:
            self.engaged = False
            self._rested.set()
            self._rested = trio.Event()

    async def wait_rested(self) -> None:
        """Until the request that arrived is answered."""
        if self.engaged:
            await self._rested.wait()

    async def serve(self) -> None:
        """Answer requests until either end closes, or ``scope`` is cancelled."""
        with self.scope:
            try:
                while await self._answer_next():
                    self._stream.http.start_next_cycle()
            except HttpError as refused:
                await self.refuse(refused.fault)
                await self._stream.linger()

    async def refuse(self, fault: HttpFault) -> None:
        """Answer with a fault what the application cannot be asked."""
        body = to_json(error_content("openai", fault))
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        if self._stream.http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            response = h11.Response(status_code=fault.status, headers=headers)
            with suppress(ClientLost):
                await self._stream.send(response, h11.Data(data=body), h11.EndOfMessage())

    async def _answer_next(self) -> bool:
        """Whether the connection can be used once more. Raises HttpError: what came was no request."""
        await self.turns.next()  # others may have their turn between two requests that came in one piece
        event: object = None
        with trio.move_on_after(self._limits.header_s) as waiting:
            try:
                event = await self._stream.next_event()
            except h11.RemoteProtocolError as error:
                if self._stream.left:
                    return False
                raise HttpError(HttpFault(error.error_status_hint, "bad_http", f"no HTTP/1.1: {error}")) from error
        if waiting.cancelled_caught and self._stream.http.trailing_data[0]:
            reason = f"the header did not arrive within {self._limits.header_s:g} s"
            raise HttpError(HttpFault(408, "header_too_slow", reason))
        if not isinstance(event, h11.Request):
            return False
        exchange = HttpExchange(self._stream, event, self._limits, self.scope)
        with exchange.answering:
            await self._app({**exchange.scope, "connection": self}, exchange.receive, exchange.send)
        return await self._has_ended_well()

    async def _has_ended_well(self) -> bool:
        """Whether the answer is whole, and the request too, if perhaps in vain."""
        http = self._stream.http
        if http.our_state is h11.DONE:
            with trio.move_on_after(self._limits.linger_s):
                while http.their_state is h11.SEND_BODY:
                    try:
                        await self._stream.next_event()
                    except h11.RemoteProtocolError:
                        break
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            return not self._stream.left
        if http.their_state is not h11.MUST_CLOSE:
            await self._stream.linger()
        return False
