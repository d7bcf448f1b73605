"""Server-sent events and lines of JSON, as bytes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal

from protocol.dialects.shape import to_json

DONE = b"data: [DONE]\n\n"
StreamForm = Literal["sse", "ndjson"]
MEDIA_TYPES: dict[StreamForm, str] = {"sse": "text/event-stream", "ndjson": "application/x-ndjson"}
COMMENTS: dict[StreamForm, bytes] = {"sse": b": waiting\n\n", "ndjson": b""}
"""What keeps a silent connection alive: clients skip it. Lines of JSON have nothing that clients would skip."""


def sse(data: bytes, name: str = "") -> bytes:
    """One event. ``data`` is JSON on one line."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"


_MARK = secrets.token_hex()
"""Stands for the text. No client's text is it, nor has it in it."""


class TextEvent:
    """An event that is always the same but for its text: made once, by its dialect's model, then filled in.

    Most events of a stream are such, hundreds a second; making each by the model takes four times as long.
    """

    def __init__(self, make: Callable[[str], bytes]) -> None:
        """``make`` gives the whole event for a text, which is in it once."""
        self.before, self.behind = make(_MARK).split(to_json(_MARK))
        """What stands on either side of the text, which is JSON between them."""

    def with_text(self, text: str) -> bytes:
        """The event for a text."""
        return self.before + to_json(text) + self.behind
