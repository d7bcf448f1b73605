"""Batches: windows of tokens, drawn by seed and step alone, so that a resumed training sees what it would have seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slm.corpus.shards import Tokens
from slm.errors import SlmError

Ids = npt.NDArray[np.int64]


class Batches:
    """Windows of ``length`` tokens and one more, from anywhere in the shards; none reaches over two."""

    def __init__(self, shards: Sequence[Tokens], batch_size: int, length: int, seed: int) -> None:
        """Raises SlmError: no shard is long enough."""
        self._shards = [shard for shard in shards if len(shard) > length]
        if not self._shards:
            longest = max((len(shard) for shard in shards), default=0)
            raise SlmError(f"the data has {longest} tokens, and a sequence needs {length + 1}: prepare more text")
        places = np.array([len(shard) - length for shard in self._shards])
        self._ends = np.cumsum(places)
        self._batch_size = batch_size
        self._length = length
        self._seed = seed

    def at(self, step: int, part: int = 0) -> Ids:
        """The tokens ``[batch_size, length + 1]`` of a step's part: each but the last of a row, and what follows it."""
        draws = np.random.default_rng((self._seed, step, part)).integers(0, self._ends[-1], self._batch_size)
        which = np.searchsorted(self._ends, draws, side="right")
        rows = []
        for shard, draw in zip(which, draws, strict=True):
            begin = int(draw) - (int(self._ends[shard - 1]) if shard else 0)
            rows.append(self._shards[shard][begin : begin + self._length + 1])
        return np.stack(rows).astype(np.int64)
