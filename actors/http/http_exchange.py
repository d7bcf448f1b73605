"""A request and its answer, as an ASGI application takes and gives them."""

from __future__ import annotations

from email.utils import formatdate

import h11
import trio
from starlette.types import Message, Scope

from actors.http.http1_stream import ClientLost, Http1Stream
from actors.http.http_error import HttpError
from actors.http.limits import HttpLimits
from actors.http.request_target import RequestTarget
from protocol.dialects.fault import HttpFault

_BODILESS = frozenset({204, 304})


class HttpExchange:
    """One request. Raises HttpError where it is none that an application could be asked.

    ``connected`` is cancelled where the client has gone.
    """

    def __init__(
        self, stream: Http1Stream, request: h11.Request, limits: HttpLimits, connected: trio.CancelScope
    ) -> None:
        _require_plain(request, limits)
        try:
            target = RequestTarget.parse(request.target)
        except ValueError as error:
            raise HttpError(HttpFault(400, "bad_target", str(error))) from error
        self.scope = _scope(request, target)
        self._stream = stream
        self._connected = connected
        self.answering = trio.CancelScope()
        """The application's work on it; cancelled, nothing more is wanted of it."""
        self._is_head = request.method == b"HEAD"
        self._has_body = True
        self._received = False

    async def receive(self) -> Message:
        """The next part of the body; behind the last one, that the client has left. Raises HttpError."""
        gone = {"type": "http.disconnect"}
        if self._received:
            await self._stream.wait_left()
            return gone
        if self._stream.http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        try:
            event = await self._stream.next_event()
        except h11.RemoteProtocolError as error:
            if self._stream.left:
                return gone
            raise HttpError(HttpFault(400, "bad_http", f"the body is no HTTP/1.1: {error}")) from error
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        self._received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Send the head of the answer, or a part of its body. Ends the connection where the client has gone."""
        if message["type"] == "http.response.start":
            headers = [(b"date", formatdate(usegmt=True).encode()), *message["headers"]]
            http = self._stream.http
            if http.they_are_waiting_for_100_continue or http.their_state is h11.ERROR:
                headers.append((b"connection", b"close"))  # where the next request begins, nobody can tell
            response = h11.Response(status_code=message["status"], headers=headers)
            if self._is_head:
                await self._send(response, h11.EndOfMessage())
                self.answering.cancel()  # a stream's body might never end
                await trio.sleep_forever()
            else:
                self._has_body = message["status"] not in _BODILESS
                await self._send(response)
            return
        body = message.get("body", b"")
        events: list[h11.Event] = [h11.Data(data=body)] if body and self._has_body else []
        if not message.get("more_body", False):
            events.append(h11.EndOfMessage())
        await self._send(*events)

    async def _send(self, *events: h11.Event) -> None:
        try:
            await self._stream.send(*events)
        except ClientLost:
            # Whatever answers the request, in several tasks perhaps, has no further use.
            self._connected.cancel()
            await trio.sleep_forever()


def _require_plain(request: h11.Request, limits: HttpLimits) -> None:
    if not request.http_version.startswith(b"1."):
        reason = f"HTTP/{request.http_version.decode()} is not spoken here, but HTTP/1.1"
        raise HttpError(HttpFault(505, "wrong_version", reason))
    # h11 bounds what it keeps of a head that is not whole; one that comes at once may be larger.
    if sum(len(name) + len(value) for name, value in request.headers) > limits.max_header_bytes:
        raise HttpError(HttpFault(431, "header_too_large", f"the header has more than {limits.max_header_bytes} bytes"))
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        # Two servers could read two different requests.
        reason = "Content-Length and Transfer-Encoding: the body can have one of them"
        raise HttpError(HttpFault(400, "bad_http", reason))


def _scope(request: h11.Request, target: RequestTarget) -> Scope:
    headers = list(request.headers)
    if target.authority is not None:
        headers = [(b"host", target.authority), *(one for one in headers if one[0] != b"host")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": request.http_version.decode(),
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": target.path,
        "raw_path": target.raw_path,
        "query_string": target.query,
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
    }
