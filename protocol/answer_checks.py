"""What the blocking and the async client both know about replies."""

from __future__ import annotations

from typing import TypeVar, cast, get_args

from protocol.answers import Accepted, EngineMessage, Failed, Finished, Progress, Tokens
from protocol.error_codes import error_from_wire
from protocol.errors import BadFrame, EngineError
from protocol.message import InterimAnswer

Reply = TypeVar("Reply")
RunMessage = Accepted | Progress | Tokens | Finished
"""What a ``Run`` is answered with, when it does not fail."""
_INTERIM = frozenset(cls for cls in get_args(EngineMessage) if issubclass(cls, InterimAnswer))
"""Looked up for every message: asking pydantic's classes for their instances takes ten times as long."""


def is_last(message: EngineMessage) -> bool:
    """No further message answers the same request."""
    return type(message) not in _INTERIM


def expect(message: object, kind: type[Reply]) -> Reply:
    """The message, if it is of the kind that answers the request.

    Raises:
        EngineError: the error that a ``Failed`` carries.
        BadFrame: the engine answered with another message.
    """
    # The members of a union are looked up first, for the same reason.
    if type(message) in getattr(kind, "__args__", ()) or isinstance(message, kind):
        return cast("Reply", message)
    raise unexpected(message)


def unexpected(message: object) -> EngineError:
    """The error to raise for a message that is not the answer hoped for: what a ``Failed`` carries, or BadFrame."""
    if isinstance(message, Failed):
        return error_of(message)
    return BadFrame(f"the engine answered with a {type(message).__name__} where none belongs")


def error_of(message: Failed) -> EngineError:
    """The error that a ``Failed`` carries."""
    return error_from_wire(message.code, message.message, message.params)
