"""Importance matrices as files in both of their forms, and such as are hard to read right."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.support.gguf_factory import new_gguf
from tests.support.quantized_models import WideModel, wide_importance

Floats = npt.NDArray[np.float32]
BinaryEntry = tuple[bytes, int, Sequence[float] | npt.NDArray[np.floating]]
"""Name, calls, values."""


def binary_importance(
    *entries: BinaryEntry, count: int | None = None, tail: bytes = struct.pack("<ii", 12, 4) + b"text"
) -> bytes:
    content = struct.pack("<i", len(entries) if count is None else count)
    for name, calls, values in entries:
        content += struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(values))
        content += np.array(values, "<f4").tobytes()
    return content + tail


def write_gguf_importance(path: Path, tensors: Mapping[str, npt.NDArray[np.generic]], kind: str = "imatrix") -> Path:
    with new_gguf(path, "imatrix") as writer:
        writer.add_type(kind)
        writer.add_array("imatrix.datasets", ["text"])
        writer.add_uint32("imatrix.chunk_count", 12)
        writer.add_uint32("imatrix.chunk_size", 512)
        for name, values in tensors.items():
            writer.add_tensor(name, values)
    return path


MODEL = WideModel(
    layers=2, experts=8, tied=False, rows=4, tensor_type="F16", seed=31, also=("per_layer_token_embd.weight",)
)
"""What the files below are for. They lack its keys."""


def _write_counted(path: Path, counts_of: Callable[[np.random.Generator, int], npt.NDArray[np.generic]]) -> Path:
    """Write the GGUF form; ``counts_of`` makes the counts from a number of rows."""
    random = np.random.default_rng(MODEL.seed)
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name, values in wide_importance(MODEL).items():
        rows = MODEL.experts if "_exps" in name else 1
        counts = counts_of(random, rows).astype(np.float32).reshape(rows, 1)
        tensors[f"{name}.in_sum2"] = values.reshape(rows, -1) * np.maximum(counts, np.float32(1))
        tensors[f"{name}.counts"] = counts
    return write_gguf_importance(path, tensors)


def _write_called(path: Path, calls: int) -> Path:
    entries = [(name.encode(), calls, values * np.float32(7)) for name, values in wide_importance(MODEL).items()]
    path.write_bytes(binary_importance(*entries))
    return path


def _write_half(path: Path) -> Path:
    entries = [(name.encode(), 3, values) for name, values in list(wide_importance(MODEL).items())[::2]]
    path.write_bytes(binary_importance(*entries, tail=b""))
    return path


def _write_embeddings(path: Path, columns: int) -> Path:
    """Also of the embeddings, which may be of another size, and of a tensor that the model lacks."""
    names = ("token_embd.weight", "per_layer_token_embd.weight", "blk.99.attn_q.weight")
    values = wide_importance(MODEL) | {name: np.geomspace(1e-3, 1e3, columns).astype(np.float32) for name in names}
    path.write_bytes(binary_importance(*((name.encode(), 1, array) for name, array in values.items())))
    return path


IMPORTANCE_FILES: dict[str, Callable[[Path], Path]] = {
    "counts": lambda path: _write_counted(path, lambda random, rows: random.integers(1, 5000, rows)),
    "counts of 0": lambda path: _write_counted(path, lambda random, rows: random.integers(0, 2, rows) * 512),
    "fractional counts": lambda path: _write_counted(
        path, lambda random, rows: random.choice([0.25, 0.5, 0.75, 2.5, 3.5, 3.49, -0.5, -4.0], rows)
    ),
    "calls": lambda path: _write_called(path, 117),
    "calls of 0": lambda path: _write_called(path, 0),
    "half of the tensors": _write_half,
    "embeddings": lambda path: _write_embeddings(path, MODEL.embedding),
    "other embeddings": lambda path: _write_embeddings(path, 7),
}
"""Writers of a file, by what is special about it."""
