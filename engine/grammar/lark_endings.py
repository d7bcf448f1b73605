"""Rules of a Lark grammar that no text comes to the end of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<skip>[ \t\r\f]+|\n|//[^\n]*|\#[^\n]*|\\\n)
    |(?P<text>"(?:\\.|[^"\\\n])*"[a-z]*|/(?!/)(?:\\.|[^/\\\n])+/[a-z]*|<[^>\n]*>|@\w+)
    |(?P<nested>%(?:json|regex|llguidance|lark)\s*\{)
    |(?P<statement>%\w+[^\n]*)
    |(?P<zero>[*?]|~[ ]*0\b(?:[ ]*\.\.[ ]*\d+)?|\{[ ]*0*[ ]*(?:,[ ]*\d*[ ]*)?\})
    |(?P<times>\+|~[ ]*\d+(?:[ ]*\.\.[ ]*\d+)?|\{[ ]*\d+[ ]*(?:,[ ]*\d*[ ]*)?\}|\.\.|[&~]|->[ ]*\w+|::\S+)
    |(?P<rule>[?!]*(?P<defined>[a-z_]\w*|[A-Z_]\w*)(?:\.-?\d+)?(?:\[[^\]\n]*\])?(?:::\w+)?[ \t]*:(?!:))
    |(?P<name>\w+)
    |(?P<mark>[()\[\]|])""",
    re.VERBOSE,
)
_BRACE: Final = re.compile(r'"(?:\\.|[^"\\])*"|[{}]', re.DOTALL)


@dataclass(slots=True)
class _Part:
    """Alternatives, each the names of the rules that it cannot do without; a part of a part is a list within."""

    options: list[list[str | _Part]] = field(default_factory=lambda: [[]])
    optional: bool = False


def endless_rule(source: str) -> str:
    """Name, line and column of the first rule in use that never ends; empty where there is none, or the grammar is
    ill-formed, which the library says."""
    rules, places = _rules(source)
    ending: set[str] = set()
    before = -1
    while len(ending) > before:
        before = len(ending)
        ending |= {name for name, body in rules.items() if _ends(body, ending, rules)}
    for name in _in_use(rules):
        if name not in ending:
            line = source.count("\n", 0, places[name]) + 1
            column = places[name] - source.rfind("\n", 0, places[name])
            return f"no text of the rule {name} comes to an end, line {line}, column {column}"
    return ""


def _ends(part: _Part, ending: set[str], rules: dict[str, _Part]) -> bool:
    return part.optional or any(
        all(
            _ends(each, ending, rules) if isinstance(each, _Part) else each in ending or each not in rules
            for each in option
        )
        for option in part.options
    )


def _in_use(rules: dict[str, _Part]) -> Iterator[str]:
    seen: set[str] = set()
    ahead: list[str | _Part] = ["start"]
    while ahead:
        match ahead.pop():
            case str() as name:
                if name in rules and name not in seen:
                    seen.add(name)
                    yield name
                    ahead.append(rules[name])
            case _Part(options):
                ahead += (each for option in reversed(options) for each in reversed(option))


def _rules(source: str) -> tuple[dict[str, _Part], dict[str, int]]:
    """Bodies, and where each rule is named. Nothing where the text is not understood."""
    rules: dict[str, _Part] = {}
    places: dict[str, int] = {}
    open_parts: list[_Part] = []
    position = 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None:
            return {}, {}
        position = found.end()
        if found.lastgroup == "nested":
            position = _behind_braces(source, position)
        elif found.lastgroup == "rule" or found["defined"] is not None:
            name = found["defined"]
            rules[name], places[name] = _Part(), found.start("defined")
            open_parts = [rules[name]]
        elif found.lastgroup != "skip" and not _take(found, open_parts):
            return {}, {}
    return rules, places


def _take(found: re.Match[str], open_parts: list[_Part]) -> bool:
    """Put a token into the part that is open; whether there was a place for it."""
    if found.lastgroup == "statement":
        return True
    if not open_parts:
        return False
    option = open_parts[-1].options[-1]
    match found.lastgroup, found[0]:
        case "name", name:
            option.append(name)
        case "zero", _:
            last = option.pop() if option else ""
            option.append(_Part(options=[[last]] if last else [[]], optional=True))
        case "mark", "(" | "[" as mark:
            inside = _Part(optional=mark == "[")
            option.append(inside)
            open_parts.append(inside)
        case "mark", "|":
            open_parts[-1].options.append([])
        case "mark", _:
            open_parts.pop()
            return bool(open_parts)
        case "text", _:
            option.append(_Part())
    return True


def _behind_braces(source: str, position: int) -> int:
    depth = 1
    while depth and (found := _BRACE.search(source, position)):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        position = found.end()
    return position if not depth else len(source)
