"""Texts that are hard on tokenizers: every script, every kind of white space, and much that no one would write."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

_WORDS = (
    "the", "The", "THE", "don't", "DON'T", "we'LL", "I'm", "they've", "o'clock", "'s", "'S", "'t", "'re", "'",
    "'\u017f", "naïve", "Straße", "ÉCOLE", "ÉcoleÉtude", "iPhone", "camelCase", "HTTPServer", "snake_case", "ǅungla",
    "\u212aelvin", "\u0130stanbul", "Привет", "ЦИФРЫ", "МоскваГород", "Ελλάδα", "ΑθήναΠόλη", "שלום", "مرحبا", "नमस्ते",
    "বাংলা", "ไทย", "日本語", "カタカナ", "中文", "한국어", "e\u0301", "n\u0303o", "E\u0301coleE\u0301",
    "def", "return", "0x1F", "3.14", "1,000", "https://a.b/c?d=e", "//", "/*", "*/", "!=", "->", "==", "<<", "…", "—",
    "«»", "“”", "👋", "👩‍👩‍👧", "🇩🇪", "é", "ﬁ", "½", "Ⅷ", "٣٤٥", "二三", "①②③", "\u200b", "\ufeff", "\u00ad",
)  # fmt: skip
_SPACES = (
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\n \n",
    "\u00a0",
    "\u0085",
    "\u2028",
    "\u3000",
    "\u1680",
    "\v",
    "\f",
)
_RANGES = (
    (0x00, 0x7F), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x3FF), (0x400, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF),
    (0xE00, 0x11FF), (0x1200, 0x1FFF), (0x2000, 0x2BFF), (0x2C00, 0x2FFF), (0x3000, 0x33FF), (0x3400, 0xA4CF),
    (0xA4D0, 0xABFF), (0xAC00, 0xD7A3), (0xE000, 0xFFFD), (0x10000, 0x1FFFF), (0x20000, 0x323AF), (0xE0000, 0x10FFFF),
)  # fmt: skip


def random_texts(count: int, seed: int, special: Sequence[str] = ()) -> list[str]:
    """Well-formed texts of 1 to about 100 characters; equal arguments give equal texts.

    ``special`` are token names that are strewn in, whole or cut short.
    """
    source = random.Random(seed)  # noqa: S311  equal seeds, equal texts
    return ["".join(_fragments(source, special)) for _ in range(count)]


def _fragments(source: random.Random, special: Sequence[str]) -> Iterator[str]:
    makers: tuple[tuple[Callable[[random.Random], str], int], ...] = (
        (lambda s: s.choice(_WORDS), 6),
        (lambda s: s.choice(_SPACES) * s.choice((1, 1, 1, 2, 5)), 5),
        (_ascii, 3),
        (_of_one_block, 3),
        (lambda s: "".join(s.choices("0123456789", k=s.randint(1, 8))), 2),
        (lambda s: chr(_any_code_point(s)), 2),
        (lambda s: _named(s, special), 1 if special else 0),
    )
    functions = [maker for maker, _ in makers]
    weights = [weight for _, weight in makers]
    for maker in source.choices(functions, weights, k=source.randint(1, 14)):
        yield maker(source)


def _ascii(source: random.Random) -> str:
    return "".join(chr(source.randint(0x20, 0x7E)) for _ in range(source.randint(1, 6)))


def _of_one_block(source: random.Random) -> str:
    first, last = source.choice(_RANGES)
    return "".join(chr(source.randint(first, last)) for _ in range(source.randint(1, 5)))


def _any_code_point(source: random.Random) -> int:
    """No surrogate."""
    number = source.randrange(0x110000 - 0x800)
    return number if number < 0xD800 else number + 0x800


def _named(source: random.Random, special: Sequence[str]) -> str:
    name = source.choice(special)
    return name if source.random() < 0.75 else name[: source.randint(1, len(name))]
