"""Server-sent events and lines of JSON, as bytes."""

from __future__ import annotations

from typing import Literal

DONE = b"data: [DONE]\n\n"
StreamForm = Literal["sse", "ndjson"]
MEDIA_TYPES: dict[StreamForm, str] = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
COMMENTS: dict[StreamForm, bytes] = {"sse": b": waiting\n\n", "ndjson": b""}
"""What keeps a silent connection alive: clients skip it. Lines of JSON have nothing that clients would skip."""


def sse(data: bytes, name: str = "") -> bytes:
    """One event. ``data`` is JSON on one line."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
