"""The front page: for browsers a page, for programs every route."""

from __future__ import annotations

from collections.abc import Sequence

from actors.http.call import Call
from actors.http.page import MEDIA_TYPE, Page, accepts_page
from actors.http.routes.route import HttpRoute
from engine.identity.version import ENGINE_VERSION
from protocol.dialects.openapi import openapi

_PAGE = Page.read()
_BY_ACCEPT = {"vary": "accept"}
_DIALECTS = {
    "weos": "/v1/weos/run",
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
    "metrics": "/metrics",
    "openapi": "/openapi.json",
}


class Directory:
    """All routes: those given, and the two that describe them all."""

    def __init__(self, others: Sequence[HttpRoute]) -> None:
        self.routes = (
            HttpRoute("GET", "/openapi.json", self._describe, "this API, as an OpenAPI document"),
            HttpRoute("GET", "/", self._tell, "what is here; to browsers, a page to use it by"),
            *others,
        )

    async def _tell(self, call: Call) -> None:
        if accepts_page(call.request.headers.get("accept", "")):
            await call.wire.reply(_PAGE.body, MEDIA_TYPE, headers=_PAGE.headers | _BY_ACCEPT)
            return
        routes = [{"method": one.method, "path": one.path, "does": one.summary} for one in self.routes]
        told = {"engine": "weos-engine", "engine_version": ENGINE_VERSION, "start": _DIALECTS, "routes": routes}
        await call.reply(told, headers=_BY_ACCEPT)

    async def _describe(self, call: Call) -> None:
        await call.reply(openapi((one.operation for one in self.routes if not one.absent), ENGINE_VERSION))
