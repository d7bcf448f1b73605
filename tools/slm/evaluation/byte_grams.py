"""What a text costs without any model: byte n-grams, counted in the training text.

Each order is smoothed by the one below, as Witten and Bell do: a context that was followed by many different bytes is
trusted less. The lowest is a byte's frequency, itself smoothed by all 256 being alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
_LARGEST_ORDER = 4


@dataclass(frozen=True)
class _Counts:
    """Counts of the n-grams of one order."""

    grams: npt.NDArray[np.uint32]
    """Ascending; the context's bytes before the last."""
    times: npt.NDArray[np.int64]
    contexts: npt.NDArray[np.uint32]
    context_times: npt.NDArray[np.int64]
    followers: npt.NDArray[np.int64]
    """How many different bytes follow each context."""


class ByteGrams:
    """Counts of all orders up to ``order``."""

    def __init__(self, training: bytes, order: int) -> None:
        """Raises ValueError: an order that is not counted, or a text that is shorter."""
        if not 1 <= order <= _LARGEST_ORDER or len(training) < order:
            raise ValueError(f"order {order} is not from 1 to {_LARGEST_ORDER}, or over the text's length")
        self._orders = [_count(np.frombuffer(training, np.uint8), size) for size in range(1, order + 1)]

    def bits_per_byte(self, text: bytes) -> float:
        """What each byte of a text costs, given those before it. Raises ValueError: the text is empty."""
        if not text:
            raise ValueError("an empty text has no bytes")
        read = np.frombuffer(text, np.uint8)
        probability = np.full(len(read), 1 / 256)
        for size, counts in enumerate(self._orders, 1):
            # The first bytes have no context of this size, and keep what they have.
            probability[size - 1 :] = _refined(counts, _grams(read, size), probability[size - 1 :])
        return -math.fsum(np.log2(probability)) / len(text)


def _grams(text: Bytes, size: int) -> npt.NDArray[np.uint32]:
    """Each run of ``size`` bytes as a number, [len(text) - size + 1]."""
    found = np.zeros(max(0, len(text) - size + 1), np.uint32)
    for place in range(size):
        found = found << np.uint32(8) | text[place : place + len(found)]
    return found


def _count(training: Bytes, size: int) -> _Counts:
    grams, times = np.unique(_grams(training, size), return_counts=True)
    contexts, begins, followers = np.unique(grams >> np.uint32(8), return_index=True, return_counts=True)
    return _Counts(grams, times, contexts, np.add.reduceat(times, begins), followers)


def _refined(counts: _Counts, grams: npt.NDArray[np.uint32], lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    times = _looked_up(counts.grams, counts.times, grams)
    context = grams >> np.uint32(8)
    seen = _looked_up(counts.contexts, counts.context_times, context)
    followers = _looked_up(counts.contexts, counts.followers, context)
    refined: npt.NDArray[np.float64] = (times + followers * lower) / np.maximum(seen + followers, 1)
    return np.where(seen > 0, refined, lower)


def _looked_up(
    keys: npt.NDArray[np.uint32], values: npt.NDArray[np.int64], wanted: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """The value of each; 0 where there is none."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)
