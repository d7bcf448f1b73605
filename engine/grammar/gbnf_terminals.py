"""Terminals of a GBNF grammar: what of its rules is read at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from engine.grammar.gbnf import Alternatives, Characters, Expression, Reference, Repetition, Sequence, Token
from engine.grammar.gbnf_alphabet import Alphabet
from engine.grammar.gbnf_overlap import TooLargeError, greedy_terminals
from engine.grammar.gbnf_rules import EMPTY, regular_rules


class Terminals:
    """Regular parts as large as can be, of which none is read longer than the grammar means."""

    def __init__(self, rules: Mapping[str, Expression]) -> None:
        self.rules = rules
        self.alphabet = Alphabet(rules.values())
        self.regular = regular_rules(rules)
        self._split: set[Expression] = set()
        self._characters_alone = False
        self._nullables: dict[str, bool] = {}
        self._firsts: dict[str, int] = {}
        if "root" not in self.regular:
            self._split_greedy()

    def rules_in_use(self) -> list[str]:
        """Those that are rules, from ``root`` on."""
        found = {"root": None}
        ahead = ["root"]
        while ahead:
            for part in self._carved(self.rules[ahead.pop()]):
                if isinstance(part, Reference) and not self.is_terminal(part) and part.name not in found:
                    found[part.name] = None
                    ahead.append(part.name)
        return list(found)

    def is_regular(self, expression: Expression) -> bool:
        """Whether it neither nests nor holds tokens."""
        match expression:
            case Characters():
                return True
            case Token():
                return False
            case Reference(name):
                return name in self.regular
            case Sequence(parts):
                return all(self.is_regular(part) for part in parts)
            case Alternatives(options):
                return all(self.is_regular(option) for option in options)
            case Repetition(part):
                return self.is_regular(part)

    def pieces(self, parts: tuple[Expression, ...]) -> list[Expression]:
        """Neighbours that are regular are one, unless they were taken apart."""
        pieces: list[Expression] = []
        run: list[Expression] = []

        def close() -> None:
            if run:
                joined = run[0] if len(run) == 1 else Sequence(tuple(run))
                apart = len(run) > 1 and (self._characters_alone or joined in self._split)
                pieces.extend(run if apart else [joined])
                run.clear()

        for part in parts:
            if self.is_regular(part):
                run.append(part)
            else:
                close()
                pieces.append(part)
        close()
        return pieces

    def is_terminal(self, expression: Expression) -> bool:
        """Whether it is read at once."""
        return isinstance(expression, Characters) or (
            not self._characters_alone
            and self.is_regular(expression)
            and expression not in self._split
            and expression != EMPTY
        )

    def _carved(self, expression: Expression) -> Iterator[Expression]:
        """Leaves of a rule."""
        if self.is_terminal(expression):
            yield expression
            return
        match expression:
            case Reference() | Token():
                yield expression
            case Sequence(parts):
                for piece in self.pieces(parts):
                    yield from self._carved(piece)
            case Alternatives(options):
                for option in options:
                    yield from self._carved(option)
            case Repetition(part):
                yield from self._carved(part)
            case Characters():
                raise AssertionError

    def _split_greedy(self) -> None:
        while True:
            followers = _Followers(self)
            try:
                greedy = greedy_terminals(followers.of_terminals(), self.rules, self.alphabet)
            except TooLargeError:
                self._characters_alone = True
                return
            greedy = {expression for expression in greedy if not isinstance(expression, Characters)}
            if not greedy:
                return
            self._split |= greedy

    def nullable(self, expression: Expression) -> bool:
        """Whether a regular part may be empty."""
        match expression:
            case Reference(name):
                if name not in self._nullables:
                    self._nullables[name] = self.nullable(self.rules[name])
                return self._nullables[name]
            case Sequence(parts):
                return all(self.nullable(part) for part in parts)
            case Alternatives(options):
                return any(self.nullable(option) for option in options)
            case Repetition(part, least):
                return least == 0 or self.nullable(part)
            case _:
                return False

    def first(self, expression: Expression) -> int:
        """Characters that a regular part may begin with."""
        match expression:
            case Characters():
                return self.alphabet.mask(expression)
            case Reference(name):
                if name not in self._firsts:
                    self._firsts[name] = self.first(self.rules[name])
                return self._firsts[name]
            case Sequence(parts):
                filled = next((index for index, part in enumerate(parts) if not self.nullable(part)), len(parts))
                return _together(self.first(part) for part in parts[: filled + 1])
            case Alternatives(options):
                return _together(self.first(option) for option in options)
            case Repetition(part):
                return self.first(part)
            case Token():
                raise TypeError("a token is no regular part")


def _together(masks: Iterable[int]) -> int:
    whole = 0
    for mask in masks:
        whole |= mask
    return whole


class _Followers:
    """First characters of rules, and those that may come behind each terminal."""

    def __init__(self, terminals: Terminals) -> None:
        self._parts = terminals
        self._first: dict[str, int] = {}
        self._empty: set[str] = set()
        self._after: dict[str, int] = {}
        self._terminals: dict[Expression, int] = {}
        self._firsts: dict[Expression, int] = {}
        names = terminals.rules_in_use()
        changed = True
        while changed:
            changed = False
            for name in names:
                first, empty = self._beginning(terminals.rules[name])
                if first != self._first.get(name, 0) or empty != (name in self._empty):
                    changed = True
                    self._first[name] = first
                    if empty:
                        self._empty.add(name)
        before = -1
        while before != (before := sum(map(int.bit_count, self._after.values()))) or not self._after:
            self._after.setdefault("root", 0)
            for name in names:
                self._visit(terminals.rules[name], self._after.get(name, 0))
            if sum(map(int.bit_count, self._after.values())) == before:
                break

    def of_terminals(self) -> dict[Expression, int]:
        return self._terminals

    def _beginning(self, expression: Expression) -> tuple[int, bool]:
        terminals = self._parts
        if terminals.is_terminal(expression):
            if expression not in self._firsts:
                self._firsts[expression] = terminals.first(expression)
            return self._firsts[expression], terminals.nullable(expression)
        match expression:
            case Reference(name):
                return self._first.get(name, 0), name in self._empty
            case Sequence(parts):
                mask = 0
                for piece in terminals.pieces(parts):
                    first, empty = self._beginning(piece)
                    mask |= first
                    if not empty:
                        return mask, False
                return mask, True
            case Alternatives(options):
                found = [self._beginning(option) for option in options]
                mask = 0
                for first, _ in found:
                    mask |= first
                return mask, any(empty for _, empty in found)
            case Repetition(part, least):
                first, empty = self._beginning(part)
                return first, empty or least == 0
            case _:
                return 0, False

    def _visit(self, expression: Expression, after: int) -> None:
        terminals = self._parts
        if terminals.is_terminal(expression):
            self._terminals[expression] = self._terminals.get(expression, 0) | after
            return
        match expression:
            case Reference(name):
                self._after[name] = self._after.get(name, 0) | after
            case Sequence(parts):
                for piece in reversed(terminals.pieces(parts)):
                    self._visit(piece, after)
                    first, empty = self._beginning(piece)
                    after = first | (after if empty else 0)
            case Alternatives(options):
                for option in options:
                    self._visit(option, after)
            case Repetition(part):
                self._visit(part, after | self._beginning(part)[0])
            case _:
                pass
