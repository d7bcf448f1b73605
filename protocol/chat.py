"""A conversation, as clients send it and chat templates read it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator
from typing_extensions import Self

from protocol.value import Value


def _with_lists(value: Any) -> Any:
    """The wire's arrays come as tuples; JSON knows lists alone."""
    match value:
        case dict():
            return {key: _with_lists(each) for key, each in value.items()}
        case list() | tuple():
            return [_with_lists(each) for each in value]
        case _:
            return value


JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_with_lists)]
"""Passed on to templates as it is, its keys in their order."""


class FunctionCall(Value):
    """The function that a tool call names, and its arguments."""

    name: Annotated[str, Field(min_length=1)]
    arguments: JsonObject
    """Values by parameter: an object, as templates expect, and not its JSON."""


class ToolCall(Value):
    """What a model asked for in an earlier turn."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    """May be left out beside ``tool_calls`` alone."""
    name: str | None = None
    """The speaker's name; for ``tool``, that of the function that was called."""
    tool_calls: Annotated[tuple[ToolCall, ...], Field(max_length=128)] = ()
    """Calls that an ``assistant`` made."""
    tool_call_id: str | None = None
    """The call that a ``tool`` answers."""

    @model_validator(mode="after")
    def _fields_of_its_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role {self.role!r} has no 'tool_calls'")
        if self.tool_call_id is not None and self.role != "tool":
            raise ValueError(f"a message of role {self.role!r} has no 'tool_call_id'")
        if "content" not in self.model_fields_set and not self.tool_calls:
            raise ValueError("give 'content'")
        return self
