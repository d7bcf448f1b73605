"""GBNF as llama.cpp reads it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from typing_extensions import assert_never

_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_SPACE: Final = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES: Final = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_SPACED_COUNTS: Final = r"\{{{0}(?P<least>[0-9]+){0}(?P<more>,{0}(?P<most>[0-9]*){0})?\}}"
_COUNTS: Final = re.compile(_SPACED_COUNTS.format(_SPACE.pattern))
_COUNTS_ON_LINES: Final = re.compile(_SPACED_COUNTS.format(_SPACE_AND_LINES.pattern))
_TOKEN: Final = re.compile(r"!?<(?:\[(?P<id>[0-9]+)\]|[^>\[][^>]*)>")
_NAMED_TOKEN: Final = re.compile(r"(?=(<[^>\[][^>]{0,255}>))")
_ESCAPES: Final = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX: Final = {"x": 2, "u": 4, "U": 8}
_MOST_TIMES: Final = 2000
"""Limit of llama.cpp."""
_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


class GbnfError(Exception):
    """A grammar is none; with the line and column of its text."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character, of ranges of code points; or, negated, of none of them."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A token; negated, any other."""

    token_id: int
    negated: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """What another rule has."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after another."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of several."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """Several times; without ``most`` as often as may be."""

    part: Expression
    least: int
    most: int | None


Expression = Characters | Token | Reference | Sequence | Alternatives | Repetition
ANY: Final = Characters((), negated=True)


def leaves(expression: Expression) -> Iterator[Characters | Token | Reference]:
    """The parts that have no parts, in no order."""
    ahead: list[Expression] = [expression]
    while ahead:
        match ahead.pop():
            case Characters() | Token() | Reference() as leaf:
                yield leaf
            case Sequence(parts):
                ahead += parts
            case Alternatives(options):
                ahead += options
            case Repetition(part):
                ahead.append(part)
            case never:
                assert_never(never)


def token_names(source: str) -> set[str]:
    """All that could be tokens by name, such as ``<think>``; some may be text."""
    return {found[1] for found in _NAMED_TOKEN.finditer(source)}


def read_gbnf(source: str, token_ids: Mapping[str, int]) -> tuple[dict[str, Expression], str]:
    """The rules by name, ``root`` among them and all that they refer to; and where ``root`` is.

    ``token_ids`` are those of the tokens that have names. Raises GbnfError.
    """
    reader = _Reader(source, token_ids)
    return reader.rules(), reader.root_place


class _Reader:
    def __init__(self, source: str, token_ids: Mapping[str, int]) -> None:
        self._source = source
        self._token_ids = token_ids
        self._position = 0
        self._first_use: dict[str, int] = {}
        self.root_place = ""

    def rules(self) -> dict[str, Expression]:
        rules: dict[str, Expression] = {}
        self._skip(lines=True)
        while self._position < len(self._source):
            place = self._place(self._position)
            name = self._name("the name of a rule")
            self.root_place = place if name == "root" else self.root_place
            self._skip(lines=False)
            if not self._source.startswith("::=", self._position):
                raise self._expected("::=")
            self._position += 3
            self._skip(lines=True)
            rules[name] = self._choice(nested=False)
            if self._position < len(self._source) and self._source[self._position] not in "\r\n":
                raise self._expected("the end of the rule's line")
            self._skip(lines=True)
        if "root" not in rules:
            raise GbnfError("there is no rule root")
        for name, position in self._first_use.items():
            if name not in rules:
                raise GbnfError(f"there is no rule {name}, {self._place(position)}")
        return rules

    def _choice(self, nested: bool) -> Expression:
        options = [self._sequence(nested)]
        while self._source.startswith("|", self._position):
            self._position += 1
            self._skip(lines=True)
            options.append(self._sequence(nested))
        return options[0] if len(options) == 1 else Alternatives(tuple(options))

    def _sequence(self, nested: bool) -> Expression:
        parts: list[Expression] = []
        repeatable = False
        while self._position < len(self._source):
            if self._source[self._position] in "*+?{":
                if not repeatable:
                    raise self._error("there is nothing here to repeat")
                parts[-1] = self._repeated(parts[-1], nested)
                repeatable = parts[-1] != Sequence(())
            else:
                part = self._part(nested)
                if part is None:
                    break
                parts.append(part)
                repeatable = part != Sequence(())
            self._skip(lines=nested)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _part(self, nested: bool) -> Expression | None:
        match self._source[self._position]:
            case '"':
                return self._literal()
            case "[":
                return self._class()
            case "<" | "!":
                return self._token()
            case "(":
                return self._group()
            case ".":
                self._position += 1
                return ANY
            case character if _NAME.match(character):
                start = self._position
                name = self._name("a rule")
                self._first_use.setdefault(name, start)
                return Reference(name)
            case _:
                return None

    def _group(self) -> Expression:
        self._position += 1
        self._skip(lines=True)
        inside = self._choice(nested=True)
        if not self._source.startswith(")", self._position):
            raise self._expected(")")
        self._position += 1
        # even an empty group may be repeated
        return Alternatives((inside,)) if inside == Sequence(()) else inside

    def _literal(self) -> Expression:
        start = self._position
        self._position += 1
        characters: list[Expression] = []
        while not self._source.startswith('"', self._position):
            place = self._position
            code = self._character(start, '"')
            self._require_text(code, place)
            characters.append(Characters(((code, code),)))
        self._position += 1
        return characters[0] if len(characters) == 1 else Sequence(tuple(characters))

    def _class(self) -> Expression:
        start = self._position
        self._position += 1
        negated = self._source.startswith("^", self._position)
        self._position += negated
        ranges: list[tuple[int, int]] = []
        while not self._source.startswith("]", self._position):
            place = self._position
            low = high = self._character(start, "]")
            if (
                self._source.startswith("-", self._position)
                and self._source[self._position + 1 : self._position + 2] != "]"
            ):
                self._position += 1
                high = self._character(start, "]")
            else:
                self._require_text(low, place)
            ranges.append((low, high))
        self._position += 1
        # llama.cpp takes a class of nothing for no text, and what is written backwards for no character
        return Characters(tuple(ranges), negated) if ranges else Sequence(())

    def _character(self, start: int, end: str) -> int:
        if self._position >= len(self._source):
            raise GbnfError(f"there is no {end} for what begins {self._place(start)}")
        character = self._source[self._position]
        if character != "\\":
            self._position += 1
            return ord(character)
        escaped = self._source[self._position + 1 : self._position + 2]
        if escaped in _HEX:
            digits = self._source[self._position + 2 : self._position + 2 + _HEX[escaped]]
            if len(digits) < _HEX[escaped] or not re.fullmatch("[0-9A-Fa-f]+", digits):
                raise self._error(f"\\{escaped} needs {_HEX[escaped]} hexadecimal digits")
            self._position += 2 + len(digits)
            return int(digits, 16)
        if escaped not in _ESCAPES or not escaped:
            raise self._error(f"\\{escaped} is no escape")
        self._position += 2
        return ord(_ESCAPES[escaped])

    def _require_text(self, code: int, place: int) -> None:
        if code > _LAST or code in _SURROGATES:
            raise GbnfError(f"U+{code:04X} is no character, {self._place(place)}")

    def _token(self) -> Expression:
        found = _TOKEN.match(self._source, self._position)
        if found is None:
            raise self._expected("a token, such as <[17]>")
        name = found[0].removeprefix("!")
        token_id = self._token_ids.get(name) if found["id"] is None else int(found["id"])
        if token_id is None:
            raise self._error(f"{name} is no single token of the model; tokens may also be named by ids, as <[17]>")
        self._position = found.end()
        return Token(token_id, found[0].startswith("!"))

    def _repeated(self, part: Expression, nested: bool) -> Expression:
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if (sign := self._source[self._position]) in simple:
            self._position += 1
            return Repetition(part, *simple[sign])
        found = (_COUNTS_ON_LINES if nested else _COUNTS).match(self._source, self._position)
        if found is None:
            raise self._expected("{least}, {least,} or {least,most}")
        least = int(found["least"])
        most = least if found["more"] is None else int(found["most"]) if found["most"] else None
        if least > _MOST_TIMES:
            raise self._error(f"{least} times are more than {_MOST_TIMES}")
        if most is not None and most < least:
            raise self._error(f"{most} is less than {least}")
        self._position = found.end()
        return Sequence(()) if most == 0 else Repetition(part, least, most)

    def _name(self, what: str) -> str:
        found = _NAME.match(self._source, self._position)
        if found is None:
            raise self._expected(what)
        self._position = found.end()
        return found[0]

    def _skip(self, lines: bool) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._source, self._position)
        self._position = found.end() if found else self._position

    def _expected(self, what: str) -> GbnfError:
        seen = self._source[self._position : self._position + 10].split("\n")[0]
        return self._error(f"{what} is expected, and there is " + (repr(seen) if seen else "the end"))

    def _error(self, message: str) -> GbnfError:
        return GbnfError(f"{message}, {self._place(self._position)}")

    def _place(self, position: int) -> str:
        line = self._source.count("\n", 0, position) + 1
        column = position - (self._source.rfind("\n", 0, position) + 1) + 1
        return f"line {line}, column {column}"
