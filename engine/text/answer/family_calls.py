"""Calls that are more than JSON between two markers: those of Mistral, DeepSeek and Llama."""

from __future__ import annotations

import json
import re

from engine.text.answer.call_stream import LONGEST_NAME, CallStream, read_arguments, read_name
from engine.text.answer.json_calls import read_json_calls
from engine.text.answer.json_source import decoded
from engine.text.answer.source import Reading

DEEPSEEK_CALLS = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
DEEPSEEK_CALL = "<\uff5ctool\u2581call\u2581begin\uff5c>"
DEEPSEEK_SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"
DEEPSEEK_CALL_END, DEEPSEEK_CALLS_END = (
    "<\uff5ctool\u2581call\u2581end\uff5c>",
    "<\uff5ctool\u2581calls\u2581end\uff5c>",
)
_CODE_TOOLS = ("python", "code_interpreter", "ipython")
_BUILT_IN = re.compile(r"\s*([\w.-]+)\.call\((.*)\)\s*", re.DOTALL)
_KEYWORD = re.compile(r'\s*(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|[^",\s]+)\s*(?:,|$)', re.DOTALL)


def read_mistral_calls(calls: CallStream) -> Reading[bool]:
    """Behind ``[TOOL_CALLS]``: an array, or ``name[ARGS]{...}``; whether there was a call."""
    source = calls.source
    if (yield from source.skip_space()) == "[":
        return (yield from read_json_calls(calls, known=False))
    name = yield from read_name(source)
    yield from source.skip_space()
    if (yield from source.accept("[CALL_ID]")) and not (yield from read_name(source)):
        return False
    yield from source.accept("[ARGS]")
    if not name or (yield from source.skip_space()) != "{":
        return False
    calls.begin(name)
    yield from read_arguments(calls)
    return True


def read_deepseek_calls(calls: CallStream) -> Reading[bool]:
    """Behind the marker of the first call or of all; whether there was a call."""
    source, found = calls.source, False
    yield from source.skip_space()
    yield from source.accept(DEEPSEEK_CALL)
    while True:
        name = yield from source.read_until(DEEPSEEK_SEPARATOR, LONGEST_NAME)
        if name is not None and (yield from source.skip_space()) != "{":
            name = yield from source.read_until("\n", LONGEST_NAME)
            yield from source.skip_space()
            yield from source.accept("```json")
        if not (name and name.strip()) or (yield from source.skip_space()) != "{":
            return found
        calls.begin(name.strip())
        yield from read_arguments(calls)
        found = True
        for closing in ("```", DEEPSEEK_CALL_END):
            yield from source.skip_space()
            yield from source.accept(closing)
        yield from source.skip_space()
        if not (yield from source.accept(DEEPSEEK_CALL)):
            yield from source.accept(DEEPSEEK_CALLS_END)
            return True


def read_python_calls(calls: CallStream) -> Reading[bool]:
    """Behind ``<|python_tag|>``: JSON, ``name.call(key="value")``, or code for a tool that runs code."""
    source = calls.source
    if (yield from source.skip_space()) in ("{", "["):
        return (yield from read_json_calls(calls, known=False))
    while not source.ended:
        yield
    rest = source.text[source.position :]
    if built_in := _BUILT_IN.fullmatch(rest):
        name, arguments = built_in[1], _keywords(built_in[2])
    else:
        name, arguments = next((tool for tool in _CODE_TOOLS if tool in calls.names), ""), {"code": rest}
    if not name or arguments is None or not rest.strip():
        return False
    source.position = len(source.text)
    calls.begin(name)
    calls.put(json.dumps(arguments, ensure_ascii=False))
    return True


def _keywords(text: str) -> dict[str, object] | None:
    """The arguments of a call in Python's way; ``None`` where they are none."""
    found: dict[str, object] = {}
    position = 0
    while position < len(text.rstrip()):
        keyword = _KEYWORD.match(text, position)
        if keyword is None:
            return None
        try:
            found[keyword[1]] = decoded(keyword[2])
        except ValueError:
            found[keyword[1]] = keyword[2]
        position = keyword.end()
    return found
