"""Rules of a GBNF grammar: which end, which are regular. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    leaves,
)
from engine.grammar.gbnf_alphabet import Alphabet

EMPTY: Final = Sequence(())
"""No text."""


def with_endings(rules: Mapping[str, Expression], root_place: str) -> dict[str, Expression]:
    """Without what no text can come to the end of, from ``root`` on. Raises GbnfError."""
    alphabet = Alphabet(rules.values())
    ordered = _dependencies_first(rules)
    ending: set[str] = set()
    before = -1
    while len(ending) > before:
        before = len(ending)
        for name in ordered:
            if name not in ending and _ended(rules[name], ending, alphabet) is not None:
                ending.add(name)
    if "root" not in ending:
        raise GbnfError(f"no text of the rule root comes to an end, {root_place}")
    ended: dict[str, Expression] = {}
    ahead = ["root"]
    while ahead:
        name = ahead.pop()
        if name not in ended and (body := _ended(rules[name], ending, alphabet)) is not None:
            ended[name] = body
            ahead += references(body)
    return ended


def _ended(expression: Expression, ending: set[str], alphabet: Alphabet) -> Expression | None:
    match expression:
        case Characters():
            return expression if alphabet.mask(expression) else None
        case Reference(name):
            return expression if name in ending else None
        case Token():
            return expression
        case Sequence(parts):
            kept = [_ended(part, ending, alphabet) for part in parts]
            filled = tuple(part for part in kept if part is not None and part != EMPTY)
            return None if None in kept else filled[0] if len(filled) == 1 else Sequence(filled)
        case Alternatives(options):
            left = [each for option in options if (each := _ended(option, ending, alphabet)) is not None]
            return Alternatives(tuple(left)) if len(left) > 1 else left[0] if left else None
        case Repetition(part, least, most):
            kept_part = _ended(part, ending, alphabet)
            if kept_part is None:
                return None if least else EMPTY
            return EMPTY if kept_part == EMPTY else Repetition(kept_part, least, most)


def references(expression: Expression) -> Iterator[str]:
    """Names of the rules that it refers to."""
    return (leaf.name for leaf in leaves(expression) if isinstance(leaf, Reference))


def regular_rules(rules: Mapping[str, Expression]) -> set[str]:
    """Those that neither come back to themselves nor hold tokens, nor refer to such."""
    regular: set[str] = set()
    before = -1
    while len(regular) > before:
        before = len(regular)
        for name in _dependencies_first(rules):
            if name not in regular and regular.issuperset(references(rules[name])) and not _has_token(rules[name]):
                regular.add(name)
    return regular


def _dependencies_first(rules: Mapping[str, Expression]) -> list[str]:
    """The rules from ``root`` on, those that another refers to before it as far as may be."""
    order: dict[str, None] = {}
    begun: set[str] = set()
    ahead = [("root", False)]
    while ahead:
        name, done = ahead.pop()
        if done:
            order[name] = None
        elif name not in begun:
            begun.add(name)
            ahead.append((name, True))
            ahead += ((other, False) for other in references(rules[name]) if other not in begun)
    return list(order)


def _has_token(expression: Expression) -> bool:
    match expression:
        case Token():
            return True
        case Sequence(parts):
            return any(map(_has_token, parts))
        case Alternatives(options):
            return any(map(_has_token, options))
        case Repetition(part):
            return _has_token(part)
        case _:
            return False
