"""Chat messages to the text a model was trained on, by the Jinja2 template in its GGUF."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

from jinja2 import Template, TemplateError, nodes

from engine.text.template_budget import BUDGET, Budget
from engine.text.template_sandbox import BudgetedEnvironment
from protocol.chat import ChatMessage, JsonObject
from protocol.errors import InvalidTemplate

_LARGEST_TEMPLATE = 1 << 16
"""Characters; real ones have up to 17,000."""
_DAY_FORMAT = re.compile(r"(?:%-?[A-Za-z%]|[^%])*")
_LONGEST_DAY_FORMAT = 256
_MOST_NODES = 8_000
"""Limit of a parsed template's nodes: what compiling takes grows with them. Real ones have up to 1,700."""
_CACHED_TEMPLATES = 16
_LONGEST_REASON = 1000
"""Characters of what a template says itself, or Python of a value in it."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    template: Template
    variables: frozenset[str]
    """What it reads by name."""
    reads_parts: bool
    """Whether it goes through a message's content, part by part."""
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
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    """Texts of more special tokens, by the names that templates have for them."""
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
    internals are out of reach, and time, memory and output are bounded. Arguments of calls are objects, content that a
    message lacks is absent, and parts of content are parts; where a template cannot use those, they are JSON, an empty
    text and lines.

    Raises:
        InvalidTemplate: it is malformed, refuses these messages, would leave out ``tools`` or calls of them, or does
            what a chat template must not.
    """
    compiled = _readable(template)
    _require_place(compiled, messages, tools)
    offered = None if not tools else [marked(tool, settings.literal) for tool in tools]
    refusal: InvalidTemplate | None = None
    for form in _forms(compiled, messages):
        said = [_variables(message, form, settings.literal) for message in messages]
        try:
            return _render(compiled, said, offered, settings)
        except InvalidTemplate as error:
            refusal = refusal or error
    assert refusal is not None  # noqa: S101  there is a form
    raise refusal


@dataclass(frozen=True, slots=True)
class _Form:
    """How a template sees what not every template can use."""

    whole_content: bool
    """Content is always there, as one text."""
    json_arguments: bool


def _forms(compiled: _Compiled, messages: Sequence[ChatMessage]) -> Iterator[_Form]:
    """The reference renderer's first."""
    lacking = any(message.content is None for message in messages)
    parts = any(isinstance(message.content, tuple) for message in messages)
    called = any(message.tool_calls for message in messages)
    as_given = (False,) if compiled.reads_parts or not parts else ()
    for whole_content in (*as_given, *((True,) if lacking or parts else ())):
        for json_arguments in (False, True) if called else (False,):
            yield _Form(whole_content, json_arguments)


def _render(compiled: _Compiled, said: list[dict[str, Any]], tools: list[Any] | None, settings: ChatSettings) -> str:
    variables: dict[str, Any] = {"messages": said, "tools": tools, "xml_tools": tools, "documents": None}
    variables |= settings.special_tokens
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
    # JSON in ASCII alone escapes a mark, as any such character; so do Python's own form and an address.
    for escaped in (json.dumps(settings.mark)[1:-1], repr(settings.mark)[1:-1], quote(settings.mark)):
        rendered = rendered.replace(escaped, settings.mark) if settings.mark else rendered
    return rendered


def _failure(error: Exception, settings: ChatSettings) -> InvalidTemplate:
    reason = str(error) or type(error).__name__
    if settings.mark:
        reason = reason.replace(settings.mark, "")
    if settings.day is None and "strftime_now" in reason:
        reason = "it cannot do without the date; give one as `chat_date`"
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "..."
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


def _variables(message: ChatMessage, form: _Form, literal: Callable[[str], str]) -> dict[str, Any]:
    """What the template sees: a field that was left out is not there, as templates test for it."""
    left_out = {"role"} if message.tool_calls else {"role", "tool_calls"}
    told = message.model_dump(exclude=left_out, exclude_none=True)
    if form.whole_content:
        told["content"] = message.text
    if form.json_arguments:
        for call in told.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    if message.reasoning_content is not None:
        told["thinking"] = message.reasoning_content  # some templates have this name for it
    return {"role": message.role, **marked(told, literal)}


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
    return _Compiled(environment.from_string(parsed), variables, _reads_parts(parsed), names)


def _reads_parts(parsed: nodes.Template) -> bool:
    for loop in parsed.find_all(nodes.For):
        values = [loop.iter, *loop.iter.find_all(nodes.Expr)]
        if any(_names_content(value) for value in values):
            return True
    return False


def _names_content(value: nodes.Node) -> bool:
    match value:
        case nodes.Name(name="content") | nodes.Getattr(attr="content"):
            return True
        case nodes.Getitem(arg=nodes.Const(value="content")):
            return True
        case _:
            return False
