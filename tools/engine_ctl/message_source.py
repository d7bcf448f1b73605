"""Messages from plain values, checked as the engine would."""

from __future__ import annotations

from typing import Any, TypeVar

from protocol.codec import client_message
from protocol.message import Request

RequestT = TypeVar("RequestT", bound=Request[Any])


def read_message(content: dict[str, Any], kind: type[RequestT]) -> RequestT:
    """The message of a kind that has these fields. Raises InvalidRequest, as the engine would."""
    message = client_message({**content, "type": kind.__name__, "request_id": 0})
    if not isinstance(message, kind):
        raise TypeError(f"{kind.__name__} became {message.type}")
    return message
