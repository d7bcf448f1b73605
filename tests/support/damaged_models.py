"""Model files with a few weights changed."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.support.blocks import LAYOUTS, spread_halves


@dataclass(frozen=True)
class StoredTensor:
    """Place of a tensor in its file."""

    name: str
    type_name: str
    rows: int
    columns: int
    begin: int
    row_bytes: int

    @property
    def kind(self) -> str:
        """The tensor's name without the layer."""
        return ".".join(part for part in self.name.split(".") if not part.isdigit())


class ModelFile:
    """A well-formed model, of which damaged copies can be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = path.read_bytes()

    @cached_property
    def tensors(self) -> dict[str, StoredTensor]:
        found = {}
        for tensor in gguf.GGUFReader(self.path).tensors:
            columns, *outer = map(int, tensor.shape)
            rows = int(np.prod(outer, dtype=int))
            found[tensor.name] = StoredTensor(
                tensor.name, tensor.tensor_type.name, rows, columns, tensor.data_offset, tensor.n_bytes // rows
            )
        return found

    @cached_property
    def one_of_each_kind(self) -> list[StoredTensor]:
        """One tensor of each kind, from different layers."""
        kinds: dict[str, list[StoredTensor]] = {}
        for tensor in self.tensors.values():
            kinds.setdefault(tensor.kind, []).append(tensor)
        return [alike[number % len(alike)] for number, alike in enumerate(kinds.values())]

    def having(self, path: Path, changes: Mapping[int, bytes]) -> Path:
        """Write to ``path`` with other bytes at some offsets."""
        content = bytearray(self._content)
        for begin, changed in changes.items():
            content[begin : begin + len(changed)] = changed
        path.write_bytes(content)
        return path

    def with_value(self, path: Path, tensor: StoredTensor, row: int, value: float, at: float = 0.5) -> Path:
        """One weight of a row, or of a quantized type a block's scale, is another; ``at``: how far into the row."""
        return self.having(path, {self._place(tensor, row, at): encoded(tensor.type_name, value)})

    def with_minimum(self, path: Path, tensor: StoredTensor, row: int, value: float) -> Path:
        """One block's minimum is another."""
        layout = LAYOUTS[tensor.type_name]
        assert layout.minimum_at is not None
        begin = self._place(tensor, row, 0.5) - layout.scale_at + layout.minimum_at
        return self.having(path, {begin: encoded("F16", value)})

    def scaled(self, path: Path, name: str, factor: float, row: int | None = None) -> Path:
        """Multiply an F32 tensor, or one of its rows, by a factor; values stay finite."""
        tensor = self.tensors[name]
        assert tensor.type_name == "F32"
        rows = slice(None) if row is None else slice(row, row + 1)
        stored = np.frombuffer(self._content, np.float32, tensor.rows * tensor.columns, tensor.begin)
        values: npt.NDArray[np.float64] = stored.reshape(tensor.rows, -1).astype(np.float64)
        values[rows] = np.clip(values[rows] * factor, -3.4e38, 3.4e38)
        return self.having(path, {tensor.begin: values.astype(np.float32).tobytes()})

    def _place(self, tensor: StoredTensor, row: int, at: float) -> int:
        """Place of a weight or a scale in the file."""
        layout = LAYOUTS.get(tensor.type_name)
        size = tensor.row_bytes // tensor.columns if layout is None else layout.block_bytes
        within = int(at * (tensor.row_bytes // size)) * size
        return tensor.begin + row * tensor.row_bytes + within + (0 if layout is None else layout.scale_at)


def encoded(type_name: str, value: float) -> bytes:
    """A weight of a float type, or a scale; of MXFP4 255, which stands for NaN; of IQ1_M the words that have it."""
    match type_name:
        case "F32":
            return struct.pack("<f", value)
        case "BF16":
            return struct.pack("<f", value)[2:]
        case "MXFP4":
            return b"\xff"
        case "IQ1_M":
            return spread_halves(np.array([value], "<f2")).tobytes()
        case _:
            return struct.pack("<e", value)
