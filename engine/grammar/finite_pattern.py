"""The texts that a regular expression matches, where they are few. Pure."""

from __future__ import annotations

import re
from typing import Final

_ATOM: Final = re.compile(
    r"\((?:\?:)?(?P<group>)|\[(?P<class>[^\]\\^\[&~-](?:[^\]\\\[&~-])*)\]|\\(?P<escaped>[^\w\s])|(?P<plain>[^\\\[\](){}*+?|^$.])"
)
_OPTIONAL: Final = re.compile(r"\?(?![?+])")


def finite_texts(pattern: str, most: int) -> frozenset[str] | None:
    """All texts that a pattern finds itself in, where it is anchored at both ends and written with characters,
    classes of characters, groups, ``|`` and ``?``; ``None`` where it is not, or there are more than ``most``."""
    if len(pattern) < 2 or not pattern.startswith("^") or not pattern.endswith("$"):
        return None
    reader = _Reader(pattern[1:-1], most)
    try:
        texts = reader.alternatives(nested=False)
    except _NotFiniteError:
        return None
    return texts if reader.ended else None


class _NotFiniteError(Exception):
    """Or too many, or written otherwise."""


class _Reader:
    def __init__(self, pattern: str, most: int) -> None:
        self._pattern, self._most, self._position = pattern, most, 0

    @property
    def ended(self) -> bool:
        return self._position == len(self._pattern)

    def alternatives(self, nested: bool) -> frozenset[str]:
        texts = self._sequence()
        while self._next("|"):
            if not nested:
                raise _NotFiniteError  # the anchors are each of one alternative alone
            texts = self._few(texts | self._sequence())
        return texts

    def _sequence(self) -> frozenset[str]:
        texts = frozenset({""})
        while (atom := self._atom()) is not None:
            if found := _OPTIONAL.match(self._pattern, self._position):
                self._position = found.end()
                atom |= {""}
            texts = self._few(frozenset(text + more for text in texts for more in atom))
        return texts

    def _atom(self) -> frozenset[str] | None:
        found = _ATOM.match(self._pattern, self._position)
        if found is None:
            return None
        self._position = found.end()
        if found["group"] is None:
            return frozenset(found["class"] or found["escaped"] or found["plain"])
        texts = self.alternatives(nested=True)
        if not self._next(")"):
            raise _NotFiniteError
        return texts

    def _next(self, character: str) -> bool:
        if not self._pattern.startswith(character, self._position):
            return False
        self._position += 1
        return True

    def _few(self, texts: frozenset[str]) -> frozenset[str]:
        if len(texts) > self._most:
            raise _NotFiniteError
        return texts
