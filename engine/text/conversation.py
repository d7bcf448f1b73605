"""Conversations made to fit the templates that have no place for all they hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import takewhile

from engine.text.chat import TemplatePlace
from protocol.chat import ChatMessage, JsonObject

_INSTRUCTION = """\
You can call tools. To call one, answer with this JSON and nothing else: \
{{"name": "<name of the tool>", "arguments": {{<arguments by name>}}}}
Call a tool only where it helps; otherwise answer in plain text. The tools, with JSON Schemas of their arguments:
{tools}"""


def fitted(
    messages: Sequence[ChatMessage], place: TemplatePlace, tools: Sequence[JsonObject] | None = None
) -> tuple[ChatMessage, ...]:
    """The messages for a template with such a place.

    Without the role ``developer`` its messages are ``system``, and those before anybody speaks are one. Without
    ``tool_calls`` calls are JSON in their message's content, and their results come from the user. Without ``tools``
    an instruction in the first system message tells of them.
    """
    said = list(messages)
    if not place.developer and any(message.role == "developer" for message in said):
        said = _developers_as_system(said)
    if not place.tool_calls and any(message.tool_calls for message in said):
        names = {call.id: call.function.name for message in said for call in message.tool_calls}
        said = [_call_as_text(message, names) for message in said]
    if tools and not place.tools:
        said = _instructed(said, tools)
    return tuple(said)


def as_user(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The first message, a system's, at the beginning of the user's, for templates that refuse the role."""
    system, *others = messages
    for index, message in enumerate(others):
        if message.role == "user":
            others[index] = _changed(message, content=f"{system.text}\n\n{message.text}")
            return tuple(others)
    return (_changed(system, role="user"), *others)


def _developers_as_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    said = [_changed(each, role="system") if each.role == "developer" else each for each in messages]
    opening = list(takewhile(lambda each: each.role == "system", said))
    if len(opening) < 2:
        return said
    first = _changed(opening[0], content="\n\n".join(each.text for each in opening))
    return [first, *said[len(opening) :]]


def _call_as_text(message: ChatMessage, names: Mapping[str | None, str]) -> ChatMessage:
    """``names``: of the tools called, by the calls' ids."""
    if message.role == "tool":
        name = message.name or names.get(message.tool_call_id)
        result = {"result": message.text} if name is None else {"tool": name, "result": message.text}
        return ChatMessage(role="user", content=json.dumps(result, ensure_ascii=False))
    if not message.tool_calls:
        return message
    calls = [{"name": call.function.name, "arguments": call.function.arguments} for call in message.tool_calls]
    written = "; ".join(json.dumps(call, ensure_ascii=False) for call in calls)
    content = f"{message.text}\n{written}" if message.text else written
    return _changed(message, content=content, tool_calls=())


def _instructed(messages: list[ChatMessage], tools: Sequence[JsonObject]) -> list[ChatMessage]:
    listed = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    instruction = _INSTRUCTION.format(tools=listed)
    if messages[0].role == "system":
        content = f"{messages[0].text}\n\n{instruction}" if messages[0].text else instruction
        return [_changed(messages[0], content=content), *messages[1:]]
    return [ChatMessage(role="system", content=instruction), *messages]


def _changed(message: ChatMessage, **fields: object) -> ChatMessage:
    return message.model_copy(update=fields)
