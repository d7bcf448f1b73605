"""One request of a client, from its body to the end of its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import trio
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from actors.faults import HTTP_GATEWAY
from actors.frame_reader import AT_ONCE_BYTES
from actors.http.access import may_manage, may_name_paths
from actors.http.body import Body
from actors.http.engine_link import EngineLink
from actors.http.http_connection import HttpConnection
from actors.http.http_error import HttpError
from actors.http.named_models import is_path, named_models
from actors.http.text_line import TextLine
from actors.http.wire import Wire
from protocol.answers import Accepted
from protocol.client import Client
from protocol.dialects import shape
from protocol.dialects.fault import Dialect, HttpFault, dialect_of, error_content, fault_of
from protocol.dialects.shape import Told, json_in_pieces, merged, parse_json, to_json
from protocol.errors import EngineError, InternalError
from protocol.message import Request as Message
from protocol.requests import Detokenize, ModelInfo

JSON = "application/json"
Asked = TypeVar("Asked", bound=shape.Asked)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose body has arrived, and the way to answer it."""

    request: Request
    body: Body
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

    async def content(self) -> dict[str, Any]:
        """The body's JSON object, with what clients ask for that say nothing else. Raises InvalidRequest."""
        defaults, own = self.link.rules.defaults, await self.own_content()
        return merged(
            defaults, {name: value for name, value in own.items() if value is not None or name not in defaults}
        )

    async def own_content(self) -> dict[str, Any]:
        """The body's JSON object alone; an empty body is an empty one. Raises InvalidRequest."""
        return await self.aside(partial(parse_json, self.body.content))

    async def read(self, kind: type[Asked]) -> Asked:
        """The body in the dialect's shape. Raises InvalidRequest."""
        return await self.aside(partial(shape.read, kind, await self.content()))

    async def aside(self, work: Callable[[], Result]) -> Result:
        """What is made of the body: in a thread where it is large, so that nobody else waits for it."""
        if self.body.size <= AT_ONCE_BYTES:
            return work()
        async with self.link.entrance.decoding.turn(self.connection.peer.requester):
            return await trio.to_thread.run_sync(work)

    def client(self) -> AbstractAsyncContextManager[Client]:
        """A client of the engine for this request alone. The body has been read by now, and is given up."""
        self.body.release()
        return self.link.client(self.connection.peer.requester, self.connection.client_socket, self._look)

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

    def require_model(self, name: str, field: str = "model") -> None:
        """Raises HttpError where the client may not name models so."""
        if is_path(name) and not may_name_paths(self.connection.peer, self.link.rules):
            reason = f"{field}: models are named by their paths with serve --http-allow-paths alone"
            raise HttpError(HttpFault(403, "path_refused", reason, {"field": field}))

    def _look(self, request: Message[Any]) -> None:
        """Raises HttpError where a message that is about to go to the engine names a model as the client may not.

        The default model may be a path. Texts of tokens and descriptions are asked of models that plans have told, by
        their paths.
        """
        if isinstance(request, Detokenize | ModelInfo):
            return
        for field, name in named_models(request):
            if name != self.link.rules.default_model:
                self.require_model(name, field)

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

    async def reply_made(
        self, make: Callable[[], Told | Mapping[str, Any]], headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with what may be large: it is made and written in a thread, piece by piece."""
        await self.wire.reply(await trio.to_thread.run_sync(_written, make), JSON, headers=headers)

    async def reply_fault(self, fault: HttpFault) -> None:
        """No effect once an answer has begun: then the connection is cut, so that nobody takes it for whole."""
        if self.wire.begun:
            self.connection.scope.cancel()
            return
        headers = {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}
        await self.reply(error_content(self.dialect, fault), fault.status, headers)


def _written(make: Callable[[], Told | Mapping[str, Any]]) -> bytes:
    answer = make()
    return answer.json_bytes() if isinstance(answer, Told) else json_in_pieces(answer)


Handler = Callable[[Call], Awaitable[None]]


class Endpoint:
    """A route's handler as an ASGI application: it reads the body, and ends the handler when the client leaves."""

    def __init__(self, link: EngineLink, handle: Handler) -> None:
        self._link = link
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = cast("HttpConnection", scope["connection"])
        wire = Wire(send, scope.get("answer_headers", {}), connection.client_socket)
        body = Body(self._link.entrance.room, connection.turns, connection.peer.requester, self._link.limits)
        call = Call(Request(scope), body, self._link, connection, wire)
        try:
            if not await body.receive(call.request.headers, receive):
                return
            with connection.engagement():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
                    await self._answer(call)
                    nursery.cancel_scope.cancel()
        except HttpError as refused:
            await call.reply_fault(refused.fault)
        finally:
            body.release()

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


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
