"""Messages of a conversation, as OpenAI's clients write them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic_core import from_json

from protocol.dialects.generation import present
from protocol.dialects.shape import Asked
from protocol.errors import InvalidRequest


class ContentPart(Asked):
    """A part of a message's content."""

    type: str
    text: str | None = None


class CalledFunction(Asked):
    """The function that an earlier call named."""

    name: str
    arguments: str | dict[str, Any] = ""
    """A JSON text, or what it stands for."""


class AskedCall(Asked):
    """A call of an earlier turn."""

    id: str | None = None
    function: CalledFunction


class OpenAiMessage(Asked):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | tuple[ContentPart, ...] | None = None
    name: str | None = None
    tool_calls: tuple[AskedCall, ...] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    """What an ``assistant`` thought before."""


def message_content(message: OpenAiMessage) -> dict[str, Any]:
    """A message as a field of a Run Request. Raises InvalidRequest for what is no text."""
    role = "tool" if message.role == "function" else message.role
    calls = None if not message.tool_calls else [_call(call) for call in message.tool_calls]
    absent = message.content is None and role == "assistant"  # which templates tell from an empty text
    said = None if absent else text_of(message.content)
    content: dict[str, Any] = {"role": role, "content": said, "name": message.name}
    own = {"tool_calls": calls, "tool_call_id": message.tool_call_id, "reasoning_content": message.reasoning_content}
    return present(content | own)


def text_of(content: str | tuple[ContentPart, ...] | None) -> str:
    """The text of parts, joined. Raises InvalidRequest for images, sounds and files."""
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.text is None:
            reason = f"the models here read text; a part of type {part.type[:40]!r} is none"
            raise InvalidRequest(reason, field="messages", reason=reason)
    return "".join(part.text or "" for part in content)


def _call(call: AskedCall) -> dict[str, Any]:
    return present({"id": call.id, "function": {"name": call.function.name, "arguments": _arguments(call.function)}})


def _arguments(function: CalledFunction) -> Any:
    if not isinstance(function.arguments, str):
        return function.arguments
    if not function.arguments.strip():
        return {}
    try:
        arguments = from_json(function.arguments, allow_inf_nan=False)
    except ValueError as error:
        raise _no_arguments(function, str(error)) from error
    if not isinstance(arguments, dict):
        raise _no_arguments(function, "not an object")
    return arguments


def _no_arguments(function: CalledFunction, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"the arguments of {function.name[:80]!r} are no JSON object: {reason}", field="messages", reason=reason
    )
