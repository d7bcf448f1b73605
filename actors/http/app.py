"""The ASGI application: every request passes the access check, and then finds its route.

Imported when HTTP is served, and not before: Starlette takes a while to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.http.access import clipped, is_preflight, refusal
from actors.http.call import Endpoint
from actors.http.engine_link import EngineLink
from actors.http.http_connection import HttpConnection
from actors.http.routes import ROUTES
from actors.http.wire import Wire
from protocol.dialects.fault import HttpFault, dialect_of, error_content
from protocol.dialects.shape import to_json

_CORS_METHODS = "GET, POST, DELETE"
_CODES = {404: "no_route", 405: "wrong_method"}


def make_app(link: EngineLink) -> ASGIApp:
    """The application of all routes, behind the access check."""
    routes = [Route(one.path, cast("ASGIApp", Endpoint(link, one.handle)), methods=[one.method]) for one in ROUTES]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _tell_exception})  # type: ignore[dict-item]
    return AccessMiddleware(link, app)


class AccessMiddleware:
    """Refuses who may not come in, and answers what browsers ask before they do."""

    def __init__(self, link: EngineLink, inner: ASGIApp) -> None:
        self._rules = link.rules
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        connection = cast("HttpConnection", scope["connection"])
        answer_headers = _answer_headers(headers.get("origin"), self._rules.origins)
        fault = refusal(connection.peer, scope["method"], scope["path"], headers, self._rules)
        if fault is not None:
            await _reply_fault(Wire(send, answer_headers), scope["path"], fault)
        elif is_preflight(scope["method"], headers):
            asked = headers.get("access-control-request-headers", "")
            allowed = {"access-control-allow-methods": _CORS_METHODS, "access-control-allow-headers": asked}
            await Wire(send, answer_headers).reply(b"", "text/plain", 204, allowed if answer_headers else {})
        else:
            await self._inner({**scope, "answer_headers": answer_headers}, receive, send)


def _answer_headers(origin: str | None, welcome: frozenset[str]) -> dict[str, str]:
    """What lets a page of a named origin read the answer."""
    if origin is None or origin not in welcome:
        return {}
    exposed = "x-execution-id, x-plan-fingerprint, retry-after"
    return {"access-control-allow-origin": origin, "vary": "origin", "access-control-expose-headers": exposed}


async def _tell_exception(request: Request, error: HTTPException) -> Response:
    fault = HttpFault(
        error.status_code, _CODES.get(error.status_code, "http_error"), _reason(request, error.status_code)
    )
    return Response(
        to_json(error_content(dialect_of(request.scope["path"]), fault)),
        status_code=fault.status,
        headers={**(error.headers or {}), **request.scope.get("answer_headers", {})},
        media_type="application/json",
    )


def _reason(request: Request, status: int) -> str:
    path = clipped(request.scope["path"])
    reasons: Mapping[int, str] = {
        404: f"there is no {path} here; GET / says what there is",
        405: f"{path} does not take {clipped(request.method)}",
    }
    return reasons.get(status, "the request cannot be answered")


async def _reply_fault(wire: Wire, path: str, fault: HttpFault) -> None:
    headers = {"www-authenticate": "Bearer"} if fault.status == 401 else {}
    await wire.reply(to_json(error_content(dialect_of(path), fault)), "application/json", fault.status, headers)
