"""Chat messages to the text a model was trained on, by the Jinja2 template in its GGUF."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
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
    names: frozenset[str]
    """Variables, attributes and string constants that it mentions."""


def render_chat(
    template: str,
    messages: Sequence[ChatMessage],
    bos_token: str,
    eos_token: str,
    tools: Sequence[JsonObject] | None = None,
    day: date | None = None,
) -> str:
    """The messages as text that ends where the assistant's answer begins.

    The same input gives the same text on any day: ``strftime_now`` tells of ``day``, and is undefined without one; most
    templates that would tell the date then fall back to a fixed one or to none. Files, imports and Python's internals
    are out of reach, and time, memory and output are bounded.

    Raises:
        InvalidTemplate: it is malformed, refuses these messages, would leave out ``tools`` or calls of them, or does
            what a chat template must not.
    """
    if len(template) > _LARGEST_TEMPLATE:
        raise InvalidTemplate(f"the chat template has {len(template)} characters; the limit is {_LARGEST_TEMPLATE}")
    said = [_variables(message) for message in messages]
    variables: dict[str, Any] = {"messages": said, "tools": tools and list(tools), "documents": None}
    variables |= {"add_generation_prompt": True, "bos_token": bos_token, "eos_token": eos_token}
    if day is not None:
        variables["strftime_now"] = partial(_formatted, day)
    try:
        compiled = _compiled(template)
        _require_place(compiled, messages, tools)
        token = BUDGET.set(Budget(len(json.dumps([said, variables["tools"]], ensure_ascii=False))))
        try:
            rendered = compiled.template.render(variables)
            rendered.encode()  # refuses surrogates, which a template can spell
            return rendered
        finally:
            BUDGET.reset(token)
    except InvalidTemplate:
        raise
    # Whatever a template makes Python raise is the template's fault: type errors, recursion, overflow, lack of memory.
    except Exception as error:
        reason = str(error) or type(error).__name__
        if day is None and "strftime_now" in reason:
            reason = "it cannot do without the date; give one as `chat_date`"
        raise InvalidTemplate(f"the model's chat template failed: {reason}", reason=reason) from error


def _formatted(day: date, form: str) -> str:
    """Widths could make it as long as one likes, so there are none."""
    if len(form) > _LONGEST_DAY_FORMAT or not _DAY_FORMAT.fullmatch(form):
        raise TemplateError(f"strftime_now cannot format {form[:_LONGEST_DAY_FORMAT]!r}")
    return datetime.combine(day, time()).strftime(form)


def _variables(message: ChatMessage) -> dict[str, Any]:
    """What the template sees: a field that was left out is not there, as templates test for it."""
    left_out = set() if message.tool_calls else {"tool_calls"}
    return message.model_dump(exclude=left_out, exclude_none=True)


def _require_place(compiled: _Compiled, messages: Sequence[ChatMessage], tools: Sequence[JsonObject] | None) -> None:
    """A template that never mentions what it is given would leave it out without a word."""
    given = {"tools": bool(tools), "tool_calls": any(message.tool_calls for message in messages)}
    for name, is_given in given.items():
        if is_given and name not in compiled.names:
            raise InvalidTemplate(f"the model's chat template has no place for {name}", field=name)


@lru_cache(_CACHED_TEMPLATES)
def _compiled(template: str) -> _Compiled:
    environment = BudgetedEnvironment()
    parsed = environment.parse(template)
    if sum(1 for _ in parsed.find_all(nodes.Node)) > _MOST_NODES:
        raise InvalidTemplate(f"the chat template has more than {_MOST_NODES} nodes")
    names = {node.name for node in parsed.find_all(nodes.Name)} | {node.attr for node in parsed.find_all(nodes.Getattr)}
    names |= {node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)}
    return _Compiled(environment.from_string(parsed), frozenset(names))
