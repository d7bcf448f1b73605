"""One request of a client, from its body to the end of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, cast

import trio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from actors.faults import HTTP_GATEWAY
from actors.http.access import may_manage, may_name_paths
from actors.http.engine_link import EngineLink
from actors.http.http_connection import HttpConnection
from actors.http.http_error import HttpError
from actors.http.text_line import TextLine
from actors.http.wire import Wire
from protocol.answers import Accepted
from protocol.client import Client
from protocol.dialects.fault import Dialect, HttpFault, dialect_of, error_content, fault_of
from protocol.dialects.shape import Told, merged, parse_json, to_json
from protocol.errors import EngineError, InternalError

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose body has arrived, and the way to answer it."""

    request: Request
    body: bytes
    link: EngineLink
    connection: HttpConnection
    wire: Wire

    @property
    def path(self) -> str:
        """What it asks for."""
        return str(self.request.scope["path"])

    @property
    def dialect(self) -> Dialect:
        """The dialect in which its errors are told."""
        return dialect_of(self.path)

    def content(self) -> dict[str, Any]:
        """The body's JSON object, with what clients ask for that say nothing else. Raises InvalidRequest."""
        defaults, own = self.link.rules.defaults, self.own_content()
        return merged(
            defaults, {name: value for name, value in own.items() if value is not None or name not in defaults}
        )

    def own_content(self) -> dict[str, Any]:
        """The body's JSON object alone; an empty body is an empty one. Raises InvalidRequest."""
        return parse_json(self.body)

    def client(self) -> AbstractAsyncContextManager[Client]:
        """A client of the engine for this request alone."""
        return self.link.client(self.connection.peer.requester, self.connection.client_socket)

    def text_line(self, accepted: Accepted) -> TextLine | None:
        """The line of an execution whose answer is streamed; ``None`` where the client takes no chunks."""
        chunked = self.request.scope["http_version"] == "1.1"
        return TextLine(self.connection.client_socket, accepted) if chunked else None

    def close_text_lines(self) -> None:
        """Nothing is written past the gateway any more, which is about to end the answer."""
        self.connection.client_socket.give_up()

    def stream(self, media_type: str, comment: bytes) -> AbstractAsyncContextManager[Wire]:
        """See :meth:`Wire.stream`."""
        return self.wire.stream(media_type, comment, self.link.limits.patience_s)

    def model(self, name: str | None) -> str:
        """The model that a request names, or the default one. Raises HttpError."""
        chosen = name or self.link.rules.default_model
        if not chosen:
            reason = "no model was named, and the engine has no default one (serve --http-default-model)"
            raise HttpError(HttpFault(404, "unknown_model", reason, {"field": "model"}))
        if name:
            self.require_model(name)
        return chosen

    def require_model(self, name: str) -> None:
        """Raises HttpError where the client may not name models so."""
        if _is_path(name) and not may_name_paths(self.connection.peer, self.link.rules):
            reason = "models are named by their paths with serve --http-allow-paths alone"
            raise HttpError(HttpFault(403, "path_refused", reason, {"field": "model"}))

    def require_manager(self) -> None:
        """Raises HttpError where the client may not change what others use."""
        if not may_manage(self.connection.peer, self.link.rules):
            reason = "needs the engine's Unix socket of HTTP, or --http-allow-manage"
            raise HttpError(HttpFault(403, "not_a_manager", f"{self.path} {reason}"))

    async def reply(
        self,
        answer: Told | Mapping[str, Any] | Sequence[Any],
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer in one piece."""
        body = answer.json_bytes() if isinstance(answer, Told) else to_json(answer)
        await self.wire.reply(body, JSON, status, headers)

    async def reply_fault(self, fault: HttpFault) -> None:
        """No effect once an answer has begun: then the connection is cut, so that nobody takes it for whole."""
        if self.wire.begun:
            self.connection.scope.cancel()
            return
        headers = {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}
        await self.reply(error_content(self.dialect, fault), fault.status, headers)


def _is_path(model: str) -> bool:
    return ("/" in model and not model.startswith("hf:")) or model.startswith(("~", "."))


Handler = Callable[[Call], Awaitable[None]]


class Endpoint:
    """A route's handler as an ASGI application: it reads the body, and ends the handler when the client leaves."""

    def __init__(self, link: EngineLink, handle: Handler) -> None:
        self._link = link
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = cast("HttpConnection", scope["connection"])
        wire = Wire(send, scope.get("answer_headers", {}), connection.client_socket)
        request = Request(scope)
        try:
            self._check_head(request.headers)
            body = await self._read_body(receive)
        except HttpError as refused:
            await Call(request, b"", self._link, connection, wire).reply_fault(refused.fault)
            return
        if body is None:
            return
        with connection.engagement():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
                await self._answer(Call(request, body, self._link, connection, wire))
                nursery.cancel_scope.cancel()

    async def _answer(self, call: Call) -> None:
        try:
            await self._handle(call)
        except HttpError as refused:
            await call.reply_fault(refused.fault)
        except EngineError as error:
            await call.reply_fault(fault_of(error))
        except Exception as error:  # of whatever kind: one client's request is no reason to end everyone's
            self._link.tell_fault(HTTP_GATEWAY, error, "answered")
            await call.reply_fault(fault_of(InternalError("the gateway failed; the engine's stderr says where")))

    def _check_head(self, headers: Mapping[str, str]) -> None:
        """Raises HttpError where the body need not be waited for."""
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity":
            reason = f"Content-Encoding {encoding[:40]!r}: send the body as it is"
            raise HttpError(HttpFault(415, "body_encoded", reason, {"field": "body"}))
        if int(headers.get("content-length", "0")) > self._link.limits.max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> HttpError:
        reason = f"the body has more than {self._link.limits.max_body_bytes} bytes"
        return HttpError(HttpFault(413, "body_too_large", reason, {"field": "body"}))

    async def _read_body(self, receive: Receive) -> bytes | None:
        """The whole body, or ``None`` where its client left. Raises HttpError."""
        limits = self._link.limits
        parts: list[bytes] = []
        size = 0
        with trio.move_on_after(limits.body_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.max_body_bytes:
                    raise self._too_large()
                if not message.get("more_body", False):
                    return b"".join(parts)
        raise HttpError(HttpFault(408, "body_too_slow", f"the body did not arrive within {limits.body_s:g} s"))


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
