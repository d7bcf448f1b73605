"""Calls of tools: what a request wants of them, what a plan decides, and how a model's calls come back."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from protocol.value import Value

ToolFormat = Literal[
    "hermes", "llama3", "mistral", "mistral_args", "functiongemma", "gemma4", "phi4", "granite", "deepseek", "json"
]
"""How a model family writes its calls: docs/tool-calls.md."""
TOOL_FORMATS: Final[tuple[ToolFormat, ...]] = get_args(ToolFormat)


class NamedTool(Value):
    """The one tool that must be called."""

    name: Annotated[str, Field(min_length=1, max_length=256)]


ToolChoice = Literal["auto", "none", "required"] | NamedTool
"""``auto``: the model decides. ``none``: it is told of no tools. ``required``: it calls one or more."""


class SpelledToken(Value):
    """A control token that an answer's text spells out, since its reader looks for it."""

    token_id: int
    text: str


class PlanTools(Value):
    """How calls are written, read and held."""

    format: ToolFormat
    choice: Literal["auto", "required"] | NamedTool
    """Anything but ``auto`` is held by the plan's grammar: the answer is calls alone, valid for their tools."""
    parallel: bool
    """Whether an answer may hold more than one call."""
    names: tuple[str, ...]
    """The tools, in the request's order."""
    instruction: bool
    """Whether the tools were written into the system message, since the template has no place for them."""


class ToolCallDelta(Value):
    """What became certain of a call. All of its ``arguments`` together are JSON, as the model wrote it."""

    index: int
    """The call's place within its choice, from 0."""
    id: str | None = None
    """Nine letters and digits; with the first delta of a call alone, as ``name`` is."""
    name: str | None = None
    arguments: str = ""


class MadeCall(Value):
    """A call that a model has made."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it: whole unless the answer was cut, and an object of the tool's schema where the plan
    held it to that."""
