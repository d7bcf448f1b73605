"""What HTTP clients may ask, dialect by dialect. A route translates; it decides nothing."""

from __future__ import annotations

from actors.http.routes import anthropic, llama_server, ollama, openai, service, weos
from actors.http.routes.directory import Directory

ROUTES = Directory(
    (
        *service.ROUTES,
        *weos.ROUTES,
        *openai.ROUTES,
        *anthropic.ROUTES,
        *ollama.ROUTES,
        *llama_server.ROUTES,
    )
).routes
