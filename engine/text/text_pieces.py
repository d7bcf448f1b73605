"""Long texts in pieces that are tokenized as the whole would be: between two, other threads have their turns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

PIECE_CHARACTERS: Final = 1 << 14
"""What is cut into words, handed over and merged in milliseconds."""


def pieces(text: str, cuts: re.Pattern[str], characters: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The text in pieces of at least ``characters`` each but for the last, cut where a match of ``cuts`` begins."""
    begin = 0
    while len(text) - begin > characters and (cut := cuts.search(text, begin + characters)):
        yield text[begin : cut.start()]
        begin = cut.start()
    yield text[begin:]
