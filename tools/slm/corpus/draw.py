"""Draws for texts that are made up: the same seed, the same text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A source of choices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  texts, and no secrets

    def one(self, of: Sequence[T]) -> T:
        """Any of them."""
        return self._random.choice(of)

    def some(self, of: Sequence[T], count: int) -> list[T]:
        """``count`` different ones, in any order."""
        return self._random.sample(of, count)

    def number(self, least: int, most: int) -> int:
        """A number, both ends included."""
        return self._random.randint(least, most)

    def happens(self, share: float) -> bool:
        """Whether what happens so often does."""
        return self._random.random() < share
