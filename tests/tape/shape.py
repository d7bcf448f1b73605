"""The shape of what a command prints: its words, without what differs from machine to machine and from run to run."""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import Any

ANYTHING = "…"
"""Stands in the documentation for what it leaves out: lines, or the rest of a word or line."""

_REPLACED = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?"), "TIME"),
    (re.compile(r"\b(?:experiment|proposal|exec)-[0-9a-f]+"), "IDENTIFIER"),
    (re.compile(r"\bsha256:[0-9a-f]+…?"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "DIGEST"),
    (re.compile(r"\b(?:cpu_\w+|reference)\b"), "BACKEND"),
    (re.compile(r"[-+]?\d+(?:\.\d+)*"), "NUMBER"),
)
_LEAST_LIKENESS = 0.75
"""Share of a line's words: those that depend on the model or the machine may be others."""


def is_shown(shown: str, printed: str) -> bool:
    """Whether each line that the documentation shows is among those printed, in its order and by its shape."""
    if shown.startswith("error["):  # one line, which the documentation breaks
        return alike(" ".join(shown.split()), printed)
    lines = printed.splitlines()
    for expected in (line for line in shown.splitlines() if line.strip() not in {"", ANYTHING}):
        at = next((at for at, line in enumerate(lines) if alike(expected, line)), None)
        if at is None:
            return False
        del lines[: at + 1]
    return True


def alike(shown: str, printed: str) -> bool:
    structure = _structure(shown)
    if structure is not None:
        return structure == _structure(printed)
    expected, found = _words(shown), _words(printed)
    if shown.rstrip(" )").endswith(ANYTHING):
        found = found[: len(expected)]
    return SequenceMatcher(a=expected, b=found, autojunk=False).ratio() >= _LEAST_LIKENESS


def _words(line: str) -> list[str]:
    for pattern, replacement in _REPLACED:
        line = pattern.sub(replacement, line)
    return line.replace(ANYTHING, " ").split()


def _structure(line: str) -> object:
    """The types of a JSON array or object, which are what a program can rely on; None for another line."""
    if not line.startswith(("[", "{")):
        return None
    try:
        return _types(json.loads(line))
    except json.JSONDecodeError:
        return None


def _types(value: Any) -> object:
    match value:
        case dict():
            return {key: _types(member) for key, member in value.items()}
        case list():
            return [_types(member) for member in value]
        case bool() | None:
            return value is None
        case int() | float():
            return float
        case _:
            return type(value)
