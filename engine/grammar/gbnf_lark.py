"""GBNF as Lark of the same texts. Pure.

What is regular becomes terminals, which the grammar library follows fast; what nests becomes rules. A terminal that the
library would read longer than the grammar means is taken apart, down to characters if need be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from engine.grammar.gbnf import (
    Alternatives,
    Characters,
    Expression,
    GbnfError,
    Reference,
    Repetition,
    Sequence,
    Token,
    read_gbnf,
)
from engine.grammar.gbnf_rules import EMPTY, with_endings
from engine.grammar.gbnf_terminals import Terminals

_LAST: Final = 0x10FFFF
_KEPT: Final = 64
"""Texts; each has 65,536 bytes at most."""


@lru_cache(_KEPT)
def gbnf_to_lark(source: str, token_ids: tuple[tuple[str, int], ...] = ()) -> str:
    """The same in Lark; those read last are kept, since finding what a lexer would read otherwise takes tens of
    milliseconds and clients send a grammar again with every request. ``token_ids`` are of tokens by
    their names. Raises GbnfError."""
    try:
        return _Writer(with_endings(*read_gbnf(source, dict(token_ids)))).text()
    except RecursionError as error:
        raise GbnfError("its rules are too many, one behind another") from error


class _Writer:
    def __init__(self, rules: Mapping[str, Expression]) -> None:
        self._rules = rules
        self._parts = Terminals(rules)
        self._names = {name: str(number) for number, name in enumerate(rules)}
        self._terminals: dict[Expression, str] = {}
        self._named: set[str] = set()
        self._lines: list[str] = []

    def text(self) -> str:
        if "root" in self._parts.regular:
            return "\n".join(["start: ROOT", f"ROOT: {self._regex(self._rules['root'])}", *self._named_terminals()])
        self._lines = ["start: rule_" + self._names["root"]]
        for name in self._parts.rules_in_use():
            self._lines.append(f"rule_{self._names[name]}: {self._rule(self._rules[name])}")
        for expression, terminal in self._terminals.items():
            filled = " & /(?s:.+)/" if self._parts.nullable(expression) else ""
            self._lines.append(f"{terminal}: ({self._regex(expression)}){filled}")
        return "\n".join([*self._lines, *self._named_terminals()])

    def _named_terminals(self) -> Iterator[str]:
        written: set[str] = set()
        while ahead := self._named - written:
            for name in sorted(ahead):
                written.add(name)
                yield f"RULE_{self._names[name]}: {self._regex(self._rules[name])}"

    def _rule(self, expression: Expression) -> str:
        if self._parts.is_terminal(expression):
            name = self._terminals.setdefault(expression, f"TERMINAL_{len(self._terminals)}")
            return f"({name})?" if self._parts.nullable(expression) else name
        match expression:
            case Reference(name):
                return f"rule_{self._names[name]}"
            case Token(token_id, negated):
                return f"<[{'^' if negated else ''}{token_id}]>"
            case Sequence(parts):
                return " ".join(self._rule(piece) for piece in self._parts.pieces(parts)) or '""'
            case Alternatives(options):
                return _either([self._rule(option) for option in options if option != EMPTY], EMPTY in options)
            case Repetition(part, least, most):
                return _repeated(self._rule(part), least, most)
            case Characters():
                raise AssertionError

    def _regex(self, expression: Expression) -> str:
        match expression:
            case Characters():
                return _class(expression)
            case Reference(name):
                self._named.add(name)
                return f"RULE_{self._names[name]}"
            case Sequence(parts):
                return " ".join(self._regex_parts(parts)) or '""'
            case Alternatives(options):
                return _either([self._regex(option) for option in options if option != EMPTY], EMPTY in options)
            case Repetition(part, least, most):
                return _repeated(self._regex(part), least, most)
            case Token():
                raise AssertionError

    def _regex_parts(self, parts: tuple[Expression, ...]) -> Iterator[str]:
        literal = ""
        for part in parts:
            if isinstance(part, Characters) and (one := _one(part)) is not None:
                literal += one
                continue
            if literal:
                yield json.dumps(literal, ensure_ascii=False)
                literal = ""
            yield self._regex(part)
        if literal:
            yield json.dumps(literal, ensure_ascii=False)


def _either(options: list[str], empty: bool) -> str:
    return f"({' | '.join(options)}){'?' if empty else ''}" if options else '""'


def _one(characters: Characters) -> str | None:
    """The only character of a class."""
    if characters.negated or len(characters.ranges) != 1 or characters.ranges[0][0] != characters.ranges[0][1]:
        return None
    return chr(characters.ranges[0][0])


def _class(characters: Characters) -> str:
    ranges = [(low, min(high, _LAST)) for low, high in characters.ranges if low <= min(high, _LAST)]
    if not ranges:
        return "/(?s:.)/"
    inside = "".join(
        _code(low) + (f"-{_code(high)}" if high > low else "") for low, high in _without_surrogates(ranges)
    )
    return f"/[{'^' if characters.negated else ''}{inside}]/"


def _without_surrogates(ranges: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        if low < 0xD800:
            yield low, min(high, 0xD7FF)
        if high > 0xDFFF:
            yield max(low, 0xE000), high


def _code(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else rf"\x{{{code:X}}}"


def _repeated(part: str, least: int, most: int | None) -> str:
    single = part.isidentifier() or (part.startswith("/") and part.endswith("/") and part.count("/") == 2)
    inside = part if single else f"({part})"
    if most is None:
        return inside + {0: "*", 1: "+"}.get(least, f"{{{least},}}")
    return inside + ("?" if (least, most) == (0, 1) else f"{{{least},{most}}}")
