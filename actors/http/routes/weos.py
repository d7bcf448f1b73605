"""The requirement documents' contract, and every message of the engine's own socket."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

from actors.http.call import Call
from actors.http.http_error import HttpError
from actors.http.named_models import named_models
from actors.http.routes.route import HttpRoute
from actors.http.translation import execution_headers
from protocol.dialects import weos
from protocol.dialects.event_stream import COMMENTS, MEDIA_TYPES, StreamForm
from protocol.dialects.fault import HttpFault
from protocol.errors import EngineError
from protocol.message import StreamRequest
from protocol.requests import Subscribe
from protocol.schema import SCHEMA_NAMES, published_schema


async def _handle(route: weos.Route, call: Call) -> None:
    if route.manages:
        call.require_manager()
    request = call.request
    content, query = await call.own_content(), request.query_params.multi_items()
    message = await call.aside(partial(weos.to_message, route, content, request.path_params, query))
    for field, model in named_models(message):
        call.require_model(model, field)
    form = weos.stream_form(request.headers.get("accept", ""))
    if isinstance(message, Subscribe):
        await _stream(call, message, form or "sse")
    elif form is not None and isinstance(message, StreamRequest):
        await _stream(call, message, form)
    else:
        async with call.client() as client:
            answer = await client.ask(message)
        await call.reply_made(partial(weos.answer, answer), execution_headers(answer))


async def _stream(call: Call, message: StreamRequest[Any, Any], form: StreamForm) -> None:
    media_type, comment = MEDIA_TYPES[form], COMMENTS[form]
    async with call.client() as client, call.stream(media_type, comment) as wire:
        try:
            async with aclosing(client.follow(message)) as answers:
                async for answer in answers:
                    await wire.begin_stream(media_type, execution_headers(answer))
                    await wire.write(weos.frame(form, answer))
        except EngineError as error:
            if not wire.begun:
                raise
            await wire.write(weos.error_frame(form, error))


async def _schema(call: Call) -> None:
    name = call.request.path_params["name"]
    if name not in SCHEMA_NAMES:
        known = ", ".join(SCHEMA_NAMES)
        raise HttpError(HttpFault(404, "unknown_schema", f"no schema {name!r}; there is {known}", {"known": known}))
    await call.reply(published_schema(name))


ROUTES = (
    *(
        HttpRoute(
            *(one.method, weos.PREFIX + one.path, partial(_handle, one)),
            f"{one.kind.__name__}, as on the engine's socket",
            asks=one.body,
        )
        for one in weos.ROUTES
    ),
    HttpRoute("GET", weos.PREFIX + "/schema/{name}", _schema, "a JSON Schema"),
)
