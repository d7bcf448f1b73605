"""A conversation, as clients send it and chat templates read it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator
from pydantic_core import from_json
from typing_extensions import Self

from protocol.value import JSON_DEPTH, Value

_WIRE_INTEGERS = range(-(2**63), 2**64)
"""What msgpack can hold."""


def _json_value(value: Any, depth: int = 0) -> Any:
    """The wire's arrays come as tuples; JSON knows lists alone."""
    if depth > JSON_DEPTH:
        raise ValueError(f"it nests deeper than {JSON_DEPTH} levels")
    match value:
        case dict():
            return {key: _json_value(each, depth + 1) for key, each in value.items()}
        case list() | tuple():
            return [_json_value(each, depth + 1) for each in value]
        case _:
            return value


def _json_object(value: Any) -> Any:
    return _json_value(from_json(value, allow_inf_nan=False) if isinstance(value, str) else value)


JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_json_object)]
"""Passed on to templates as it is, its keys in their order. An object, or its JSON, by which integers travel that
msgpack cannot hold."""


def wire_object(value: JsonObject) -> JsonObject | str:
    """The object as msgpack can hold it: its JSON where it has integers of more than 64 bits."""
    ahead: list[Any] = [value]
    while ahead:
        match ahead.pop():
            case dict() as container:
                ahead += container.values()
            case list() as container:
                ahead += container
            case int() as number if number not in _WIRE_INTEGERS:
                return json.dumps(value, ensure_ascii=False)
    return value


def _from_json(value: Any) -> Any:
    """Arguments as clients of other dialects send them back: as JSON, which a call without any leaves empty."""
    if not isinstance(value, str):
        return {} if value is None else value
    try:
        return from_json(value, allow_inf_nan=False) if value.strip() else {}
    except ValueError as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error


def _content(value: Any) -> Any:
    """Parts of text, by whichever name of theirs; all else is left as it is."""
    if not isinstance(value, list | tuple):
        return value
    parts = []
    for index, part in enumerate(value):
        if isinstance(part, TextPart):
            parts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
            raise ValueError(f"part {index} is {kind or part!r}; this engine reads parts of type 'text' alone")
        parts.append(TextPart(text=text))
    return tuple(parts)


def _calls(value: Any) -> Any:
    """JSON's arrays come as lists, and a message without calls may say so."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else value


class TextPart(Value):
    """A part of a message's content."""

    type: Literal["text"] = "text"
    text: str


class FunctionCall(Value):
    """The function that a tool call names, and its arguments."""

    name: Annotated[str, Field(min_length=1)]
    arguments: Annotated[JsonObject, BeforeValidator(_from_json)] = Field(default_factory=dict)
    """Values by parameter: an object, as templates expect, or its JSON."""

    def wire_fields(self) -> dict[str, Any]:
        """See :meth:`Value.wire_fields`."""
        return {**self.__dict__, "arguments": wire_object(self.arguments)}


class ToolCall(Value):
    """What a model asked for in an earlier turn."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Value):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    """``developer`` is ``system`` where the template has no such role."""
    content: Annotated[str | tuple[TextPart, ...] | None, BeforeValidator(_content)] = None
    """A text, ``null`` for none, or parts of text: a template that reads none is given them as lines. Only an
    ``assistant`` may leave it out."""
    reasoning_content: str | None = None
    """What an ``assistant`` thought before."""
    name: str | None = None
    """The speaker's name; for ``tool``, that of the function that was called."""
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=128), BeforeValidator(_calls)] = ()
    """Calls that an ``assistant`` made."""
    tool_call_id: str | None = None
    """The call that a ``tool`` answers."""

    @property
    def text(self) -> str:
        """The content as one text, parts being its lines."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content)

    @model_validator(mode="after")
    def _fields_of_its_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} has no 'tool_calls'")
        if self.tool_call_id is not None and self.role != "tool":
            raise ValueError(f"a message of role {self.role!r} has no 'tool_call_id'")
        if self.reasoning_content is not None and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} has no 'reasoning_content'")
        if "content" not in self.model_fields_set and self.role != "assistant":
            raise ValueError("give 'content'")
        return self
