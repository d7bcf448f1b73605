"""Calls as JSON: ``{"name": ..., "arguments": {...}}``, one after the other or in an array."""

from __future__ import annotations

from engine.text.answer.call_stream import CallStream, read_arguments
from engine.text.answer.json_source import read_string, skip_value
from engine.text.answer.source import Reading

_ARGUMENTS = ("arguments", "parameters")


def read_json_calls(calls: CallStream, *, known: bool) -> Reading[bool]:
    """Whether there was a call. Where there was none, nothing was put anywhere. ``known``: of the given tools alone."""
    source = calls.source
    if (yield from source.skip_space()) == "[":
        return (yield from _read_array(calls, known))
    found = False
    while (yield from _read_call(calls, known)):
        found = True
        if (yield from source.skip_space()) == ";":
            source.position += 1
        if (yield from source.skip_space()) != "{":
            break
    return found


def _read_array(calls: CallStream, known: bool) -> Reading[bool]:
    source, found = calls.source, False
    source.position += 1
    while (yield from source.skip_space()) == "{" and (yield from _read_call(calls, known)):
        found = True
        if (yield from source.skip_space()) == ",":
            source.position += 1
    if found:
        yield from source.accept("]")
    return found


def _read_call(calls: CallStream, known: bool) -> Reading[bool]:
    """Whether a call began. Behind a call that is no longer JSON the position is where that was found."""
    source = calls.source
    header = _Header()
    source.position += 1
    doubled = yield from source.accept("{")  # some templates show their models both braces doubled
    while (yield from source.skip_space()) != "}":
        key = yield from read_string(source)
        if key is None or (yield from source.skip_space()) != ":":
            return header.begun
        source.position += 1
        yield from source.skip_space()
        if not (yield from _read_member(calls, header, key, known)):
            return header.begun
        following = yield from source.skip_space()
        if following == ",":
            source.position += 1
        elif following != "}":
            return header.begun
    source.position += 1
    if doubled:
        yield from source.accept("}")
    if not header.begun and header.name:
        calls.begin(header.name)
        calls.put(header.arguments)
        return True
    return header.begun


class _Header:
    """What a call's object has told so far."""

    def __init__(self) -> None:
        self.name = ""
        self.arguments = "{}"
        self.begun = False
        self.complete = False
        """Its arguments have come."""


def _read_member(calls: CallStream, header: _Header, key: str, known: bool) -> Reading[bool]:
    """Whether the value is one that a call may have."""
    source = calls.source
    if key == "name" and not header.name:
        header.name = (yield from read_string(source)) or ""
        return bool(header.name) and (not known or header.name in calls.names)
    if key not in _ARGUMENTS or header.complete:
        return (yield from skip_value(source))
    header.complete = True
    if header.name:
        header.begun = True
        calls.begin(header.name)
        yield from read_arguments(calls)
        return True
    begin = source.position
    closed = yield from skip_value(source)
    header.arguments = source.text[begin : source.position]
    return closed
