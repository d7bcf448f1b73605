"""What Jinja2 itself makes of a chat template, with the options and filters that such templates are written for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.text.chat import ChatSettings, render_chat
from protocol.chat import ChatMessage, FunctionCall, JsonObject, ToolCall

WEATHER: tuple[JsonObject, ...] = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city, in °C",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name"},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                },
                "required": ["city"],
            },
        },
    },
)
WEATHER_TALK = (
    ChatMessage(role="user", content="How warm is it in Lisboa?"),
    ChatMessage(
        role="assistant",
        tool_calls=(
            ToolCall(
                id="call00001", function=FunctionCall(name="get_weather", arguments={"city": "Lisboa", "unit": None})
            ),
        ),
    ),
    ChatMessage(role="tool", name="get_weather", tool_call_id="call00001", content="21"),
    ChatMessage(role="assistant", content="It is 21 °C."),
    ChatMessage(role="user", content="Thanks!"),
)


def rendering(
    template: str,
    messages: Sequence[ChatMessage],
    bos: str = "",
    eos: str = "",
    tools: Sequence[JsonObject] | None = None,
    day: date | None = None,
) -> str:
    """The engine's own. Raises InvalidTemplate."""
    return render_chat(template, messages, ChatSettings(bos_token=bos, eos_token=eos, day=day), tools)


def reference_rendering(
    template: str,
    messages: Sequence[ChatMessage],
    bos: str,
    eos: str,
    tools: Sequence[JsonObject] | None = None,
    day: date | None = None,
) -> str:
    """Raises whatever the template makes Jinja2 raise."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    if day is not None:
        environment.globals["strftime_now"] = day.strftime
    return environment.from_string(template).render(
        messages=[_plain(message) for message in messages],
        tools=None if tools is None else list(tools),
        xml_tools=None if tools is None else list(tools),
        documents=None,
        add_generation_prompt=True,
        bos_token=bos,
        eos_token=eos,
    )


class _Generation(Extension):
    """Marks what the model says, as Transformers has it."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_said"), [], [], inside).set_lineno(line)

    def _said(self, caller: Callable[[], str]) -> str:
        return caller()


def _plain(message: ChatMessage) -> dict[str, Any]:
    """Only the fields that were given."""
    plain: dict[str, Any] = {"role": message.role}
    if message.content is not None:
        plain["content"] = message.content
        if not isinstance(message.content, str):
            plain["content"] = [part.model_dump() for part in message.content]
    if message.reasoning_content is not None:
        plain["reasoning_content"] = plain["thinking"] = message.reasoning_content
    if message.name is not None:
        plain["name"] = message.name
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
