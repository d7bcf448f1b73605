"""An error as HTTP tells it: a status, and a body in the shape of the route's dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from protocol.errors import (
    AmbiguousModel,
    BadFrame,
    CacheEntryInUse,
    CacheFull,
    CacheUnavailable,
    DiskFull,
    DownloadFailed,
    EngineError,
    EngineUnavailable,
    ExecutionCancelled,
    FrameTooLarge,
    GrammarUnavailable,
    IncomparableExecutions,
    ModelInUse,
    NotPermitted,
    PromptTooLong,
    RecordStoreUnavailable,
    RecordStoreUnusable,
    RequestRefused,
    UnknownCacheEntry,
    UnknownEntry,
    UnknownExecution,
    UnknownModel,
)

Dialect = Literal["weos", "openai", "llama_server", "anthropic", "ollama"]

_STATUSES: tuple[tuple[tuple[type[EngineError], ...], int], ...] = (
    ((NotPermitted,), 403),
    ((UnknownModel, UnknownExecution, UnknownEntry, UnknownCacheEntry), 404),
    ((AmbiguousModel, CacheEntryInUse, ModelInUse, IncomparableExecutions, ExecutionCancelled), 409),
    ((DownloadFailed,), 502),
    ((CacheUnavailable, RecordStoreUnavailable, RecordStoreUnusable, GrammarUnavailable, EngineUnavailable), 503),
    ((CacheFull, DiskFull), 507),
    ((FrameTooLarge,), 413),
    ((RequestRefused, BadFrame), 400),
)
"""The first row that an error belongs to counts; any other is 500."""
_OPENAI_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"} | {
    404: "not_found_error",
    413: "invalid_request_error",
    501: "not_supported_error",
}
_ANTHROPIC_TYPES = _OPENAI_TYPES | {413: "request_too_large", 503: "overloaded_error"}


@dataclass(frozen=True, slots=True)
class HttpFault:
    """An error on its way out. Its ``code`` is an engine error's, or one of HTTP's own, such as ``unauthorized``."""

    status: int
    code: str
    message: str
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def retry_after_s(self) -> int | None:
        """Whole seconds to wait before trying again; ``None`` where that would not help."""
        return max(1, -(-int(self.params.get("retry_after_ms", 1000)) // 1000)) if self.status == 503 else None


def fault_of(error: EngineError) -> HttpFault:
    """The fault that tells an engine's error."""
    status = next((status for kinds, status in _STATUSES if isinstance(error, kinds)), 500)
    message = error.message
    if isinstance(error, PromptTooLong):
        message = f"{message}{_TOO_LONG}"
    elif isinstance(error, BadFrame | FrameTooLarge):
        message = f"the request is more than a message to the engine may be: {message}"
    return HttpFault(status, error.code, message, error.params)


_TOO_LONG = " (too large: the prompt exceeds the available context size; context window exceeded)"
"""Phrases by which clients know the error."""


def dialect_of(path: str) -> Dialect:
    """The dialect in which a path's errors are told."""
    if path.startswith("/api/"):
        return "ollama"
    if path.startswith("/v1/messages"):
        return "anthropic"
    if path.startswith("/v1/weos") or path in _OWN:
        return "weos"
    return "openai" if path.startswith("/v1/") else "llama_server"


_OWN = frozenset({"/", "/health", "/version", "/metrics", "/openapi.json"})


def error_content(dialect: Dialect, fault: HttpFault) -> dict[str, Any]:
    """The body of an answer, or the data of an event, that tells the fault."""
    match dialect:
        case "weos":
            return {"error": {"code": fault.code, "message": fault.message, "params": fault.params}}
        case "ollama":
            return {"error": fault.message}
        case "anthropic":
            kind = _ANTHROPIC_TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
            return {"type": "error", "error": {"type": kind, "message": fault.message}}
        case "openai":
            return {"error": _openai_error(fault)}
        case "llama_server":
            return {"error": _openai_error(fault) | _too_long(fault)}


def _openai_error(fault: HttpFault) -> dict[str, Any]:
    kind = _OPENAI_TYPES.get(fault.status, "server_error" if fault.status >= 500 else "invalid_request_error")
    code = "context_length_exceeded" if fault.code == PromptTooLong.code else fault.code
    return {"message": fault.message, "type": kind, "param": _param(fault), "code": code}


def _too_long(fault: HttpFault) -> dict[str, Any]:
    """Fields by which llama-server's clients know a prompt that is too long; none of any other error."""
    if fault.code != PromptTooLong.code:
        return {}
    numbers = {"n_prompt_tokens": fault.params.get("prompt_tokens"), "n_ctx": fault.params.get("context_length")}
    return {"type": "exceed_context_size_error", **numbers}


_OWN_PARTS = ("execution.", "sampling.", "limits.")
"""What the engine calls a field before its name, where the dialect has the name alone."""


def _param(fault: HttpFault) -> str | None:
    field: str | None = fault.params.get("field")
    for part in _OWN_PARTS:
        field = None if field is None else field.removeprefix(part)
    return field
