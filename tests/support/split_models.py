"""Models in several files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import gguf_bytes as g


@dataclass(frozen=True)
class SplitModel:
    """The least model in three parts; what is None is as it should be."""

    number: int | None = None
    """Metadata of the second part."""
    count: int | None = None
    total: int | None = None
    doubled: bool = False
    """The second part has a tensor of the first."""

    def write(self, folder: Path, name: str = "model") -> Path:
        """The first part's path."""
        least = g.ModelBytes()
        tensors = list(least.tensors.values())
        parts: list[Sequence[g.Tensor]] = [tensors[:4], tensors[4:8], tensors[8:]]
        if self.doubled:
            parts[1] = [*parts[1], tensors[0]]
        for index, part in enumerate(parts):
            of_second = index == 1
            number = self.number if of_second and self.number is not None else index
            count = self.count if of_second and self.count is not None else len(parts)
            keys = {"split.no": g.scalar(g.U16, number), "split.count": g.scalar(g.U16, count)}
            keys["split.tensors.count"] = g.scalar(g.I32, len(tensors) if self.total is None else self.total)
            own = {**least.metadata, **keys} if index == 0 else keys
            g.GgufBytes(tuple(own.items()), part).write(folder / f"{name}-{index + 1:05}-of-{len(parts):05}.gguf")
        return folder / f"{name}-00001-of-{len(parts):05}.gguf"
