"""The part of a text that is scored: as the engine does, the second half of each window, so that figures compare.

The text has the beginning-of-text token in front. Windows follow each other and are read from an empty context, each
with that token in place of its first. Positions ``window // 2`` to ``window - 2`` of each predict the token after them.
What is behind the last whole window is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slm.corpus.vocabulary import Vocabulary
from slm.errors import SlmError

LARGEST_WINDOW = 512


@dataclass(frozen=True)
class ScoredWindows:
    """A text in windows."""

    tokens: npt.NDArray[np.int64]
    """[windows, window]"""
    scored_bytes: int
    """Bytes that the scored tokens spell."""

    @property
    def window(self) -> int:
        """Tokens of each."""
        return int(self.tokens.shape[1])

    @property
    def predictions(self) -> int:
        """How many tokens are scored."""
        return len(self.tokens) * (self.window - 1 - self.window // 2)

    def bits_per_byte(self, nats: float) -> float:
        """What a byte costs, if all scored tokens together cost so much."""
        return nats / math.log(2) / self.scored_bytes


def scored_windows(vocabulary: Vocabulary, text: str, window: int, most: int | None = None) -> ScoredWindows:
    """At most ``most`` windows of a text. Raises SlmError: it is shorter than one."""
    tokens = np.array([vocabulary.end_of_text, *vocabulary.encode(text.removesuffix("\n"))], dtype=np.int64)
    count = len(tokens) // window
    if count == 0:
        raise SlmError(f"the text has {len(tokens)} tokens, and a window {window}: hold out more text")
    count = count if most is None else min(count, most)
    found = tokens[: count * window].reshape(count, window)
    lengths = np.array(vocabulary.byte_lengths)
    return ScoredWindows(found, int(lengths[found[:, window // 2 + 1 :]].sum()))
