"""Chat messages to the text a model was trained on, by the Jinja2 template in its GGUF."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache, partial
from typing import Any

from jinja2 import Template, TemplateError, nodes

from engine.text.template_sandbox import BUDGET, Budget, BudgetedEnvironment
from protocol.chat import ChatMessage, JsonObject
from protocol.errors import InvalidTemplate

_LARGEST_TEMPLATE = 1 << 16
"""Characters; real ones have up to 17,000."""
_DAY_FORMAT = re.compile(r"(?:%-?[A-Za-z%]|[^%])*")
_LONGEST_DAY_FORMAT = 256
_MOST_NODES = 8_000
"""Limit of a parsed template's nodes: what compiling takes grows with them. Real ones have up to 1,700."""
_CACHED_TEMPLATES = 16


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: Template
    variables: frozenset[str]
    """What it reads by name."""
    names: frozenset[str]
    """These, attributes and string constants."""


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What a template is told beside messages and tools."""

    bos_token: str = ""
    eos_token: str = ""
    day: date | None = None
    enable_thinking: bool | None = None
    """``None``: the template's own default."""
    literal: Callable[[str], str] = str
    """Marks text of the conversation that spells control tokens, as :meth:`Tokenizer.literal` does."""
    mark: str = ""
    """What ``literal`` marks with, one character; empty where it marks nothing."""


@dataclass(frozen=True, slots=True)
class TemplatePlace:
    """What a template has a place for."""

    tools: bool
    tool_calls: bool
    developer: bool
    """Whether it knows the role."""


def place_in(template: str) -> TemplatePlace:
    """Raises InvalidTemplate: it is malformed or too large."""
    names = _readable(template).names
    return TemplatePlace("tools" in names or "xml_tools" in names, "tool_calls" in names, "developer" in names)


def render_chat(
    template: str,
    messages: Sequence[ChatMessage],
    settings: ChatSettings,
    tools: Sequence[JsonObject] | None = None,
) -> str:
    """The messages as text that ends where the assistant's answer begins.

    The same input gives the same text on any day: ``strftime_now`` tells of ``settings.day``, and is undefined without
    one; most templates that would tell the date then fall back to a fixed one or to none. Files, imports and Python's
    internals are out of reach, and time, memory and output are bounded. Arguments of calls are objects and, where a
    template cannot use those, JSON.

    Raises:
        InvalidTemplate: it is malformed, refuses these messages, would leave out ``tools`` or calls of them, or does
            what a chat template must not.
    """
    compiled = _readable(template)
    _require_place(compiled, messages, tools)
    said = [_variables(message, settings.literal) for message in messages]
    offered = None if not tools else [marked(tool, settings.literal) for tool in tools]
    try:
        return _render(compiled, said, offered, settings)
    except InvalidTemplate:
        if not any(message.tool_calls for message in messages):
            raise
        for each in said:
            for call in each.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        with suppress(InvalidTemplate):
            return _render(compiled, said, offered, settings)
        raise


def _render(compiled: _Compiled, said: list[dict[str, Any]], tools: list[Any] | None, settings: ChatSettings) -> str:
    variables: dict[str, Any] = {"messages": said, "tools": tools, "xml_tools": tools, "documents": None}
    variables |= {"add_generation_prompt": True, "bos_token": settings.bos_token, "eos_token": settings.eos_token}
    if settings.day is not None:
        variables["strftime_now"] = partial(_formatted, settings.day)
    if settings.enable_thinking is not None:
        variables["enable_thinking"] = settings.enable_thinking
    if tools and not compiled.variables & {"tools", "xml_tools"}:
        _tell_in_system_message(said, tools)
    token = BUDGET.set(Budget(len(json.dumps([said, tools], ensure_ascii=False))))
    try:
        rendered = compiled.template.render(variables)
        rendered.encode()  # refuses surrogates, which a template can spell
    # Whatever a template makes Python raise is the template's fault: type errors, recursion, overflow, lack of memory.
    except Exception as error:
        raise _failure(error, settings) from error
    finally:
        BUDGET.reset(token)
    # JSON in ASCII alone escapes a mark, as any such character.
    return rendered.replace(json.dumps(settings.mark)[1:-1], settings.mark) if settings.mark else rendered


def _failure(error: Exception, settings: ChatSettings) -> InvalidTemplate:
    reason = str(error) or type(error).__name__
    if settings.mark:
        reason = reason.replace(settings.mark, "")
    if settings.day is None and "strftime_now" in reason:
        reason = "it cannot do without the date; give one as `chat_date`"
    return InvalidTemplate(f"the model's chat template failed: {reason}", reason=reason)


def _tell_in_system_message(said: list[dict[str, Any]], tools: list[Any]) -> None:
    """Some templates read the tools from a field of the system message, as JSON."""
    if said[0]["role"] != "system":
        said.insert(0, {"role": "system", "content": ""})
    said[0]["tools"] = json.dumps(tools, ensure_ascii=False)


def marked(value: Any, literal: Callable[[str], str]) -> Any:
    """The same JSON value with every text, keys too, as ``literal`` has it."""
    match value:
        case str():
            return literal(value)
        case dict():
            return {literal(key): marked(each, literal) for key, each in value.items()}
        case list() | tuple():
            return [marked(each, literal) for each in value]
        case _:
            return value


def _formatted(day: date, form: str) -> str:
    """Widths could make it as long as one likes, so there are none."""
    if len(form) > _LONGEST_DAY_FORMAT or not _DAY_FORMAT.fullmatch(form):
        raise TemplateError(f"strftime_now cannot format {form[:_LONGEST_DAY_FORMAT]!r}")
    return datetime.combine(day, time()).strftime(form)


def _variables(message: ChatMessage, literal: Callable[[str], str]) -> dict[str, Any]:
    """What the template sees: a field that was left out is not there, as templates test for it."""
    left_out = {"role"} if message.tool_calls else {"role", "tool_calls"}
    return {"role": message.role, **marked(message.model_dump(exclude=left_out, exclude_none=True), literal)}


def _require_place(compiled: _Compiled, messages: Sequence[ChatMessage], tools: Sequence[JsonObject] | None) -> None:
    """A template that never mentions what it is given would leave it out without a word."""
    given = {
        "tools": bool(tools) and "xml_tools" not in compiled.names,
        "tool_calls": any(message.tool_calls for message in messages),
    }
    for name, is_given in given.items():
        if is_given and name not in compiled.names:
            raise InvalidTemplate(f"the model's chat template has no place for {name}", field=name)


def _readable(template: str) -> _Compiled:
    if len(template) > _LARGEST_TEMPLATE:
        raise InvalidTemplate(f"the chat template has {len(template)} characters; the limit is {_LARGEST_TEMPLATE}")
    try:
        return _compiled(template)
    except InvalidTemplate:
        raise
    except Exception as error:  # a stranger's text: it may exceed Python's recursion as well as Jinja2's grammar
        raise _failure(error, ChatSettings()) from error


@lru_cache(_CACHED_TEMPLATES)
def _compiled(template: str) -> _Compiled:
    environment = BudgetedEnvironment()
    parsed = environment.parse(template)
    if sum(1 for _ in parsed.find_all(nodes.Node)) > _MOST_NODES:
        raise InvalidTemplate(f"the chat template has more than {_MOST_NODES} nodes")
    variables = frozenset(node.name for node in parsed.find_all(nodes.Name))
    names = variables | {node.attr for node in parsed.find_all(nodes.Getattr)}
    names |= {node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)}
    return _Compiled(environment.from_string(parsed), variables, names)
