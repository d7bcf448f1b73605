"""Sets of characters that a GBNF grammar tells apart, as bits. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.grammar.gbnf import Characters, Expression, leaves

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


class Alphabet:
    """Characters that no class of the grammar tells apart are one bit."""

    def __init__(self, expressions: Iterable[Expression]) -> None:
        cuts = {0, _SURROGATES[0], _SURROGATES[1] + 1, _LAST + 1}
        for expression in expressions:
            for characters in (leaf for leaf in leaves(expression) if isinstance(leaf, Characters)):
                cuts |= {end for low, high in characters.ranges if low <= high for end in (low, min(high, _LAST) + 1)}
        self._starts = sorted(cut for cut in cuts if cut <= _LAST + 1)
        self._bits = {start: bit for bit, start in enumerate(self._starts)}
        surrogates = self._between(*_SURROGATES)
        self.everything = (1 << len(self._starts) - 1) - 1 & ~surrogates

    def mask(self, characters: Characters) -> int:
        """Bits of what it matches."""
        mask = 0
        for low, high in characters.ranges:
            if low <= min(high, _LAST):
                mask |= self._between(low, min(high, _LAST))
        return self.everything & (~mask if characters.negated else mask)

    def _between(self, low: int, high: int) -> int:
        return (1 << self._bits[high + 1]) - (1 << self._bits[low])
