"""SentencePiece-style BPE by scores: ``tokenizer.ggml.model`` = ``llama``.

Of all adjacent pairs whose concatenation is a token, the one with the highest score is merged, the leftmost of equal
ones, until none is left. The ``tokenizers`` package ranks *pairs*, so it cannot express that two different tokens of
one score are ordered by place; and deriving its pairs takes seconds for a vocabulary of 256k.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from functools import lru_cache

from engine.text.text_pieces import pieces

SPACE = "▁"
_CACHED_WORDS = 1 << 16
_LONGEST_CACHED_WORD = 64


class SpmEncoder:
    """Text without special tokens, its spaces already ``▁``, to ids. Thread-safe."""

    def __init__(self, ids: dict[str, int], scores: Sequence[float]) -> None:
        self._ids = ids
        self._scores = scores
        self._byte_ids = [ids.get(f"<0x{byte:02X}>") for byte in range(256)]
        self._cuts = _cut_pattern(ids)
        self._encode_cached = lru_cache(_CACHED_WORDS)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        """The token ids of a text without special tokens."""
        found: list[int] = []
        for piece in pieces(text, self._cuts):
            for word in self._cuts.split(piece):
                found += self._encode_cached(word) if len(word) <= _LONGEST_CACHED_WORD else self._encode_word(word)
        return found

    def _encode_word(self, word: str) -> tuple[int, ...]:
        found: list[int] = []
        for symbol in self._merge(word):
            token_id = self._ids.get(symbol)
            if token_id is not None:
                found.append(token_id)
            else:
                found += (byte_id for byte in symbol.encode() if (byte_id := self._byte_ids[byte]) is not None)
        return tuple(found)

    def _merge(self, word: str) -> list[str]:
        """The symbols left when no pair makes a token. A heap of candidate pairs over a doubly linked list."""
        symbols: list[str] = list(word)
        after = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols) - 1))
        heap: list[tuple[float, int, int, str]] = []
        ids, scores = self._ids, self._scores

        def consider(left: int, right: int) -> None:
            merged = symbols[left] + symbols[right]
            token_id = ids.get(merged)
            if token_id is not None:
                heapq.heappush(heap, (-scores[token_id], left, right, merged))

        for left in range(len(symbols) - 1):
            consider(left, left + 1)
        while heap:
            _, left, right, merged = heapq.heappop(heap)
            # Stale where either side has since been merged into something else.
            if after[left] != right or symbols[left] + symbols[right] != merged or not symbols[right]:
                continue
            symbols[left], symbols[right] = merged, ""
            after[left] = after[right]
            if before[left] >= 0:
                consider(before[left], left)
            if after[left] < len(symbols):
                before[after[left]] = left
                consider(left, after[left])
        return [symbol for symbol in symbols if symbol]


def _cut_pattern(ids: dict[str, int]) -> re.Pattern[str]:
    """Matches where no merge can reach across: before a ``▁``, unless some token has one after the same character.

    Cutting there changes no result and lets whole words be remembered.
    """
    # Most begin with one; with those out of the way few parts are left.
    spelled = ("\0" + "\0".join(ids)).replace("\0" + SPACE, "\0")
    reaching = {part[-1] for part in spelled.split(SPACE)[:-1] if part and part[-1] != "\0"}
    kept = "".join(re.escape(character) for character in sorted(reaching))
    return re.compile(f"(?<=[^{SPACE}{kept}])(?={SPACE})")
