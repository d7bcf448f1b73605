"""How model families write calls of tools, and which of them a chat template shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from engine.text.answer import family_calls
from engine.text.answer.call_stream import CallStream
from engine.text.answer.gemma_calls import read_gemma_calls
from engine.text.answer.json_calls import read_json_calls
from engine.text.answer.source import Reading
from protocol.tool_calls import ToolFormat

_NAME = "\0"
"""Where a call's name stands in :attr:`CallFormat.before`."""


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How calls are read, and how a grammar has them written."""

    openers: tuple[str, ...]
    """Markers that begin calls."""
    read: Callable[[CallStream], Reading[bool]]
    """What follows a marker; whether it was a call."""
    before: str
    """What a call is, up to its arguments."""
    after: str
    """What follows its arguments."""
    begin: str = ""
    """Before all calls, and ``end`` behind them."""
    separator: str = "\n"
    end: str = ""
    closers: tuple[str, ...] = ()
    """Markers that may end calls, in the order in which they come."""
    bare: bool = False
    """An answer, or what follows a call, may be calls of the given tools without a marker."""
    control: tuple[str, ...] = ()
    """Markers beside openers and closers, which some vocabularies have as control tokens."""
    signs: tuple[str, ...] = ()
    """A template that spells all of these writes its calls in this way."""

    def call(self, name: str) -> str:
        """A call of a tool, up to its arguments."""
        return self.before.replace(_NAME, name)

    @property
    def markers(self) -> tuple[str, ...]:
        """All that may be control tokens."""
        return (*self.openers, *self.closers, *self.control)


_read_marked = partial(read_json_calls, known=False)
_ARGUMENTS = f'{{"name": "{_NAME}", "arguments": '
_PARAMETERS = f'{{"name": "{_NAME}", "parameters": '

CALL_FORMATS: Final[Mapping[ToolFormat, CallFormat]] = {
    "functiongemma": CallFormat(
        openers=("<start_function_call>",),
        read=partial(read_gemma_calls, quote="<escape>"),
        before=f"<start_function_call>call:{_NAME}",
        after="<end_function_call>",
        separator="",
        closers=("<end_function_call>",),
        control=("<escape>",),
        signs=("<start_function_call>",),
    ),
    "gemma4": CallFormat(
        openers=("<|tool_call>",),
        read=partial(read_gemma_calls, quote='<|"|>'),
        before=f"<|tool_call>call:{_NAME}",
        after="<tool_call|>",
        separator="",
        closers=("<tool_call|>",),
        control=('<|"|>',),
        signs=("<|tool_call>",),
    ),
    "deepseek": CallFormat(
        openers=(family_calls.DEEPSEEK_CALLS, family_calls.DEEPSEEK_CALL),
        read=family_calls.read_deepseek_calls,
        begin=family_calls.DEEPSEEK_CALLS,
        before=f"{family_calls.DEEPSEEK_CALL}function{family_calls.DEEPSEEK_SEPARATOR}{_NAME}\n```json\n",
        after=f"\n```{family_calls.DEEPSEEK_CALL_END}",
        end=family_calls.DEEPSEEK_CALLS_END,
        control=(family_calls.DEEPSEEK_SEPARATOR, family_calls.DEEPSEEK_CALL_END, family_calls.DEEPSEEK_CALLS_END),
        signs=(family_calls.DEEPSEEK_CALL,),
    ),
    "mistral_args": CallFormat(
        openers=("[TOOL_CALLS]",),
        read=family_calls.read_mistral_calls,
        before=f"[TOOL_CALLS]{_NAME}[ARGS]",
        after="",
        separator="",
        control=("[ARGS]", "[CALL_ID]"),
        signs=("[TOOL_CALLS]", "[ARGS]"),
    ),
    "mistral": CallFormat(
        openers=("[TOOL_CALLS]",),
        read=family_calls.read_mistral_calls,
        begin="[TOOL_CALLS][",
        before=_ARGUMENTS,
        after="}",
        separator=", ",
        end="]",
        signs=("[TOOL_CALLS]",),
    ),
    "phi4": CallFormat(
        openers=("<|tool_call|>", "functools"),
        read=_read_marked,
        begin="<|tool_call|>[",
        before=_ARGUMENTS,
        after="}",
        separator=", ",
        end="]<|/tool_call|>",
        closers=("<|/tool_call|>",),
        signs=("<|tool|>", "<|/tool|>"),
    ),
    "granite": CallFormat(
        openers=("<|tool_call|>",),
        read=_read_marked,
        begin="<|tool_call|>[",
        before=_ARGUMENTS,
        after="}",
        separator=", ",
        end="]",
        signs=("<|tool_call|>",),
    ),
    "hermes": CallFormat(
        openers=("<tool_call>",),
        read=_read_marked,
        before=f"<tool_call>\n{_ARGUMENTS}",
        after="}\n</tool_call>",
        closers=("</tool_call>",),
        bare=True,
        signs=("<tool_call>",),
    ),
    "llama3": CallFormat(
        openers=("<|python_tag|>",),
        read=family_calls.read_python_calls,
        before=_PARAMETERS,
        after="}",
        separator="; ",
        bare=True,
        signs=("<|start_header_id|>", '"parameters": '),
    ),
    "json": CallFormat(
        openers=(), read=_read_marked, before=_ARGUMENTS, after="}", separator="; ", bare=True
    ),
}  # fmt: skip
"""The first whose signs a template shows is taken; ``json`` has none, and shows in any."""


def format_of_template(template: str) -> ToolFormat:
    """How a model with this chat template writes its calls."""
    return next(name for name, each in CALL_FORMATS.items() if all(sign in template for sign in each.signs))
