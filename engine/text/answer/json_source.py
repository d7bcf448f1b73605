"""JSON read from text that is still coming."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from engine.text.answer.source import Reading, Source

LONGEST_HEADER = 4096
"""Characters before a call's arguments, beyond which a text is taken for no call: bounds what may have to be read
twice."""
_STRUCTURE = re.compile(r'["{}\[\]]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_IN_STRING = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[\s,}\]<\[]")


def read_string(source: Source, longest: int = LONGEST_HEADER) -> Reading[str | None]:
    """A string's value; ``None`` where none that is well-formed and that short comes next."""
    if (yield from source.peek()) != '"':
        return None
    while (found := _STRING.match(source.text, source.position)) is None:
        if source.ended or len(source.text) - source.position > longest:
            return None
        yield
    if len(found[0]) > longest:
        return None
    try:
        value = str(decoded(found[0]))
    except ValueError:
        return None
    source.position = found.end()
    return value


def skip_string(source: Source, passed: Callable[[], None] = lambda: None) -> Reading[bool]:
    """Pass over a string, from its quote on; whether it was closed. ``passed`` is told whenever more was passed."""
    source.position += 1
    while True:
        found = _IN_STRING.search(source.text, source.position)
        if found is None:
            source.position = len(source.text)
            if source.ended:
                return False
            passed()
            yield
        elif found[0] == '"':
            source.position = found.end()
            return True
        else:
            source.position = found.end()
            escaped = yield from source.peek()
            if not escaped:
                return False
            source.position += 1


def skip_value(source: Source, passed: Callable[[], None] = lambda: None) -> Reading[bool]:
    """Pass over a value, by its quotes and brackets alone; whether it was closed."""
    first = yield from source.peek()
    if first == '"':
        return (yield from skip_string(source, passed))
    if first in ("{", "["):
        return (yield from _skip_brackets(source, passed))
    return (yield from _skip_scalar(source))


def _skip_brackets(source: Source, passed: Callable[[], None]) -> Reading[bool]:
    depth = 0
    while True:
        found = _STRUCTURE.search(source.text, source.position)
        if found is None:
            source.position = len(source.text)
            if source.ended:
                return False
            passed()
            yield
            continue
        source.position = found.start()
        if found[0] == '"':
            if not (yield from skip_string(source, passed)):
                return False
            continue
        source.position += 1
        depth += 1 if found[0] in "{[" else -1
        if depth == 0:
            return True


def _skip_scalar(source: Source) -> Reading[bool]:
    begin = source.position
    while (found := _SCALAR_END.search(source.text, source.position)) is None:
        source.position = len(source.text)
        if source.ended:
            return source.position > begin
        yield
    source.position = found.start()
    return source.position > begin


def decoded(text: str) -> Any:
    """The value that JSON holds. A string's halves of surrogate pairs, which no text can hold, become U+FFFD.

    Raises ValueError where it is no JSON, holds numbers that JSON has not, or nests too deeply.
    """
    try:
        value = json.loads(text, strict=False, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is no number of JSON")
    return number
