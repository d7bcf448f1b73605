"""Terminals of a grammar that a lexer which always takes the longest would read otherwise than the grammar. Pure.

llama.cpp reads characters one by one, in every way that the grammar allows. The grammar library first cuts the text
into terminals, each as long as it can be, and never tries a shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.grammar.gbnf import Alternatives, Characters, Expression, Reference, Repetition, Sequence
from engine.grammar.gbnf_alphabet import Alphabet

_MOST_POSITIONS: Final = 1500
_MOST_WORK: Final = 2_000_000
"""Positions looked at; some tenths of a second."""


class TooLargeError(Exception):
    """An automaton has more states than are worth it."""


def greedy_terminals(
    terminals: Mapping[Expression, int], rules: Mapping[str, Expression], alphabet: Alphabet
) -> set[Expression]:
    """Those that may go on with a character which, behind a shorter terminal, belongs to what follows it.

    ``terminals`` are given with the characters that may follow each.
    Raises TooLargeError.
    """
    positions = _Positions(rules, alphabet)
    start: set[int] = set()
    ends: dict[int, list[Expression]] = {}
    owner: list[Expression] = []
    for terminal in terminals:
        _, first, last = positions.add(terminal)
        owner += [terminal] * (len(positions.masks) - len(owner))
        start |= first
        for position in last:
            ends.setdefault(position, []).append(terminal)
    greedy: set[Expression] = set()
    seen: set[frozenset[int]] = set()
    work = 0
    ahead = [_step(start, positions, bit) for bit in _bits(alphabet.everything)]
    while ahead:
        state = ahead.pop()
        if not state or state in seen:
            continue
        seen.add(state)
        after = {successor for position in state for successor in positions.follow[position]}
        followers = 0
        for position in state:
            for terminal in ends.get(position, ()):
                followers |= terminals[terminal]
        greedy |= {owner[successor] for successor in after if positions.masks[successor] & followers}
        reachable = 0
        for successor in after:
            reachable |= positions.masks[successor]
        work += len(after) * reachable.bit_count()
        if work > _MOST_WORK:
            raise TooLargeError
        ahead += [_step(after, positions, bit) for bit in _bits(reachable)]
    return greedy


def _step(ahead: set[int], positions: _Positions, bit: int) -> frozenset[int]:
    return frozenset(position for position in ahead if positions.masks[position] & bit)


def _bits(mask: int) -> list[int]:
    return [1 << place for place in range(mask.bit_length()) if mask >> place & 1]


class _Positions:
    """Glushkov's automaton: a position for each class of characters, and which may come behind which."""

    def __init__(self, rules: Mapping[str, Expression], alphabet: Alphabet) -> None:
        self.masks: list[int] = []
        self.follow: list[set[int]] = []
        self._rules, self._alphabet = rules, alphabet
        self._added = 0

    def add(self, expression: Expression) -> tuple[bool, set[int], set[int]]:
        """Whether it may be empty, and the positions it may begin and end with. Raises TooLargeError."""
        self._added += 1
        if self._added > 10 * _MOST_POSITIONS:
            raise TooLargeError
        match expression:
            case Characters():
                if len(self.masks) >= _MOST_POSITIONS:
                    raise TooLargeError
                self.masks.append(self._alphabet.mask(expression))
                self.follow.append(set())
                return False, {len(self.masks) - 1}, {len(self.masks) - 1}
            case Reference(name):
                return self.add(self._rules[name])
            case Sequence(parts):
                return self._joined([self.add(part) for part in parts])
            case Alternatives(options):
                added = [self.add(option) for option in options]
                return (
                    any(empty for empty, _, _ in added),
                    set().union(*(first for _, first, _ in added)),
                    set().union(*(last for _, _, last in added)),
                )
            case Repetition(part, least, most):
                return self._repeated(part, least, most)
            case _:
                raise TypeError(expression)

    def _joined(self, added: list[tuple[bool, set[int], set[int]]]) -> tuple[bool, set[int], set[int]]:
        empty, first, last = True, set[int](), set[int]()
        for part_empty, part_first, part_last in added:
            for position in last:
                self.follow[position] |= part_first
            first |= part_first if empty else set()
            last = part_last | (last if part_empty else set())
            empty = empty and part_empty
        return empty, first, last

    def _repeated(self, part: Expression, least: int, most: int | None) -> tuple[bool, set[int], set[int]]:
        copies = [self.add(part) for _ in range(least if most is None else most)]
        if most is None:
            _, first, last = self.add(part)
            for position in last:
                self.follow[position] |= first
            copies.append((True, first, last))
        return self._joined(
            [(empty or index >= least, first, last) for index, (empty, first, last) in enumerate(copies)]
        )
