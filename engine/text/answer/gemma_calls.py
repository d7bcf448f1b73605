"""Gemma's calls: ``call:name{key:<escape>text<escape>,other:5}``, whose arguments become JSON as they come."""

from __future__ import annotations

import json
import re

from engine.text.answer.call_stream import CallStream, read_arguments, read_name
from engine.text.answer.json_source import LONGEST_HEADER, decoded
from engine.text.answer.source import Reading, held_back

_SCALAR = re.compile(r"[^,{}\[\]]*")
_DEEPEST = 64


def read_gemma_calls(calls: CallStream, quote: str) -> Reading[bool]:
    """Behind the marker; whether there was a call. ``quote`` stands around strings."""
    source = calls.source
    yield from source.skip_space()
    yield from source.accept("call:")
    name = yield from read_name(source)
    if not name or (yield from source.peek()) != "{":
        return False
    begin = source.position
    source.position += 1
    first = yield from source.skip_space()
    source.position = begin
    calls.begin(name)
    if first == '"':
        yield from read_arguments(calls)
    else:
        yield from _read_value(calls, quote, 0)
    return True


def _read_value(calls: CallStream, quote: str, depth: int) -> Reading[None]:
    source = calls.source
    first = yield from source.skip_space()
    if first in ("{", "[") and depth < _DEEPEST:
        yield from _read_members(calls, quote, depth, first)
    elif (yield from source.accept(quote)):
        yield from _read_text(calls, quote)
    else:
        calls.put(_scalar((yield from _read_bare(calls))))


def _read_members(calls: CallStream, quote: str, depth: int, opening: str) -> Reading[None]:
    source, closing = calls.source, "}" if opening == "{" else "]"
    source.position += 1
    calls.put(opening)
    separator = ""
    while (yield from source.skip_space()) not in (closing, ""):
        calls.put(separator)
        if opening == "{":
            key = yield from source.read_until(":", LONGEST_HEADER)
            if key is None:
                break
            calls.put(json.dumps(key.strip().replace(quote, "").strip('"'), ensure_ascii=False) + ": ")
        yield from _read_value(calls, quote, depth + 1)
        separator = ", "
        if not (yield from _goes_on(calls, closing)):
            return
    if (yield from source.accept(closing)):
        calls.put(closing)
    source.take()


def _goes_on(calls: CallStream, closing: str) -> Reading[bool]:
    """Whether what follows a value belongs to the same call."""
    source = calls.source
    following = yield from source.skip_space()
    if following == ",":
        source.position += 1
    return following in (",", closing)


def _read_text(calls: CallStream, quote: str) -> Reading[None]:
    """A string behind its opening quote."""
    source = calls.source
    source.take()
    calls.put('"')
    while (found := source.text.find(quote)) < 0 and not source.ended:
        source.position = len(source.text) - held_back(source.text, (quote,))
        calls.put(_escaped(source.take()))
        yield
    source.position = found if found >= 0 else len(source.text)
    calls.put(_escaped(source.take()))
    if found >= 0:
        source.position = len(quote)
        source.take()
        calls.put('"')


def _read_bare(calls: CallStream) -> Reading[str]:
    """The text of a value that is neither quoted nor bracketed."""
    source = calls.source
    source.take()
    while True:
        source.pass_over(_SCALAR)
        if source.position < len(source.text) or source.ended:
            return source.take()
        yield


def _scalar(text: str) -> str:
    try:
        value = decoded(text)
    except ValueError:
        value = text.strip()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else text.strip()


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
