"""How much each column of each matrix matters: the mean square of what it is multiplied with, over training text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slm.corpus.shards import Tokens
from slm.export.gguf_file import gguf_name, new_gguf
from slm.training.batches import Batches
from slm.transformer import Transformer

_WINDOWS = 64
_AT_ONCE = 8
_SEED = 0x1A7


class ColumnSquares:
    """Sums of squares by column, gathered while the model reads."""

    def __init__(self, transformer: Transformer) -> None:
        self.sums: dict[str, npt.NDArray[np.float64]] = {}
        self.counts: dict[str, int] = {}
        for name, part in transformer.named_modules():
            if isinstance(part, nn.Linear):
                part.register_forward_pre_hook(self._hook(gguf_name(f"{name}.weight")))

    def _hook(self, name: str) -> Any:
        def add(_: nn.Module, given: tuple[torch.Tensor]) -> None:
            rows = given[0].detach().flatten(0, -2).double()
            self.sums[name] = self.sums.get(name, 0.0) + rows.square().sum(0).numpy()
            self.counts[name] = self.counts.get(name, 0) + len(rows)

        return add


def write_importance(transformer: Transformer, shards: Sequence[Tokens], path: Path) -> int:
    """Write an importance matrix in the GGUF form that quantizers read. How many tokens it is of.

    Raises SlmError: the shards are shorter than a window.
    """
    length = min(256, transformer.architecture.max_position_embeddings)
    batches = Batches(shards, _AT_ONCE, length, _SEED)
    squares = ColumnSquares(transformer.eval())
    with torch.inference_mode():
        for step in range(_WINDOWS // _AT_ONCE):
            transformer.hidden(torch.from_numpy(batches.at(step)[:, :-1]))
    with new_gguf(path, "imatrix") as writer:
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", ["training text"])
        writer.add_uint32("imatrix.chunk_count", _WINDOWS)
        writer.add_uint32("imatrix.chunk_size", length)
        for name, sums in squares.sums.items():
            writer.add_tensor(f"{name}.in_sum2", sums.astype(np.float32).reshape(1, -1))
            writer.add_tensor(f"{name}.counts", np.array([[squares.counts[name]]], dtype=np.float32))
    return _WINDOWS * length
