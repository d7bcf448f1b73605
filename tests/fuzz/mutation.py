"""Well-formed bytes made a little wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_EDGES = (0, 1, 2, 3, 7, 8, 31, 32, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
_WIDE_EDGES = (*_EDGES, 2**32, 2**33, 2**61, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1)
_MOST_CHANGES = 4


class Mutation:
    """Equal seeds give equal mutants."""

    def __init__(self, seeds: Sequence[bytes], seed: int, head_bytes: int | None = None) -> None:
        """Most changes are made in the first ``head_bytes`` of a seed; ``None``: anywhere."""
        self._seeds = seeds
        self._random = random.Random(seed)
        self._head_bytes = head_bytes

    def next(self) -> bytes:
        """A seed with one to four changes."""
        content = bytearray(self._random.choice(self._seeds))
        for _ in range(self._random.randint(1, _MOST_CHANGES)):
            self._random.choice(_CHANGES)(self, content)
        return bytes(content)

    def _place(self, content: bytearray) -> int:
        end = len(content)
        if self._head_bytes is not None and self._random.random() < 0.9:
            end = min(end, self._head_bytes)
        return self._random.randrange(end + 1)

    def _flip(self, content: bytearray) -> None:
        if content:
            content[self._place(content) % len(content)] ^= 1 << self._random.randrange(8)

    def _set_byte(self, content: bytearray) -> None:
        if content:
            content[self._place(content) % len(content)] = self._random.choice((0, 1, 0x7F, 0x80, 0xC3, 0xFE, 0xFF))

    def _set_number(self, content: bytearray) -> None:
        """Write a number of the width of counts, sizes, offsets and types."""
        width = self._random.choice((4, 8))
        value = self._random.choice(_EDGES if width == 4 else _WIDE_EDGES)
        begin = self._place(content)
        content[begin : begin + width] = value.to_bytes(width, "little")

    def _add_to_number(self, content: bytearray) -> None:
        width = self._random.choice((4, 8))
        begin = self._place(content)
        value = int.from_bytes(content[begin : begin + width], "little") + self._random.randint(-9, 9)
        content[begin : begin + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")

    def _cut_out(self, content: bytearray) -> None:
        begin = self._place(content)
        del content[begin : begin + self._random.choice((1, 4, 8, 16, 64))]

    def _insert(self, content: bytearray) -> None:
        begin = self._place(content)
        content[begin:begin] = self._random.randbytes(self._random.choice((1, 4, 8, 16)))

    def _repeat(self, content: bytearray) -> None:
        begin = self._place(content)
        piece = content[begin : begin + self._random.choice((1, 8, 24, 64))]
        content[begin:begin] = piece * self._random.choice((1, 2, 16))

    def _move(self, content: bytearray) -> None:
        source, target = self._place(content), self._place(content)
        piece = content[source : source + self._random.choice((4, 8, 24, 64))]
        content[target : target + len(piece)] = piece

    def _cut_short(self, content: bytearray) -> None:
        del content[self._place(content) :]

    def _splice(self, content: bytearray) -> None:
        other = self._random.choice(self._seeds)
        begin = self._place(content)
        content[begin:] = other[min(begin, len(other)) :]


_CHANGES: tuple[Callable[[Mutation, bytearray], None], ...] = (
    Mutation._flip,
    Mutation._flip,
    Mutation._set_byte,
    Mutation._set_number,
    Mutation._set_number,
    Mutation._add_to_number,
    Mutation._cut_out,
    Mutation._insert,
    Mutation._repeat,
    Mutation._move,
    Mutation._cut_short,
    Mutation._splice,
)
