"""Text that comes in pieces, for readers that are written as if all of it were there."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import TypeVar

Result = TypeVar("Result")
Reading = Generator[None, None, Result]
"""Yields where it needs more text than there is. What it returns depends on the text alone, never on its pieces."""

_SPACE = re.compile(r"\s*")


class Source:
    """What has come and has not been let go, and where its reader is."""

    def __init__(self) -> None:
        self.text = ""
        self.position = 0
        self.ended = False
        """No more text will come."""

    def add(self, piece: str) -> None:
        """More text."""
        self.text += piece

    def take(self) -> str:
        """Let go of everything before the position, and return it."""
        taken, self.text, self.position = self.text[: self.position], self.text[self.position :], 0
        return taken

    def pass_over(self, pattern: re.Pattern[str]) -> None:
        """What comes next, as far as the pattern matches what has come."""
        if found := pattern.match(self.text, self.position):
            self.position = found.end()

    def peek(self) -> Reading[str]:
        """The next character; empty at the end."""
        while self.position >= len(self.text) and not self.ended:
            yield
        return self.text[self.position : self.position + 1]

    def skip_space(self) -> Reading[str]:
        """Pass over white space; the character behind it, empty at the end."""
        while True:
            self.pass_over(_SPACE)
            if self.position < len(self.text) or self.ended:
                return self.text[self.position : self.position + 1]
            yield

    def accept(self, literal: str) -> Reading[bool]:
        """Pass over the literal if it comes next."""
        while not self.text.startswith(literal, self.position):
            if self.ended or not literal.startswith(self.text[self.position :]):
                return False
            yield
        self.position += len(literal)
        return True

    def accept_any(self, literals: Sequence[str]) -> Reading[bool]:
        """Pass over the first of the literals that comes next."""
        for literal in literals:
            if (yield from self.accept(literal)):
                return True
        return False

    def read_until(self, literal: str, longest: int) -> Reading[str | None]:
        """The text before the literal, which is passed over; ``None`` where more than ``longest`` characters come
        before it, or the end."""
        begin = self.position
        while (found := self.text.find(literal, begin)) < 0:
            if self.ended or len(self.text) - begin > longest + len(literal):
                return None
            yield
        if found - begin > longest:
            return None
        self.position = found + len(literal)
        return self.text[begin:found]


def held_back(text: str, markers: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a marker."""
    longest = min(len(text), max(map(len, markers), default=1) - 1)
    for length in range(longest, 0, -1):
        end = text[-length:]
        if any(marker.startswith(end) for marker in markers):
            return length
    return 0
