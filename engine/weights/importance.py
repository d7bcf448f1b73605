"""Importance matrices: how much the errors of each column of a tensor count when it is quantized.

Two forms are read. GGUF: ``general.type`` is ``imatrix``, and for every tensor NAME there are ``NAME.in_sum2`` (sums
of squared inputs, [experts, columns] or [columns]) and ``NAME.counts`` (how many inputs, a row each; rounded). The
older binary form: i32 entries, then for each i32 length, name, i32 calls, i32 values, f32 values; what follows says
where it came from.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine import _core
from engine.host.file_memory import file_identity, state_of
from engine.host.regular_file import read_regular

Floats = npt.NDArray[np.float32]

MAX_FILE_BYTES = 1 << 30
"""A matrix of one float a column: the largest models' take tens of megabytes."""
MAX_ENTRIES = 65536
MAX_NAME_BYTES = 1024

_GGUF_MAGIC = b"GGUF"
_SUMS = ".in_sum2"
_COUNTS = ".counts"


class ImportanceError(ValueError):
    """The file is no importance matrix, or a damaged one. The message says where."""


@dataclass(frozen=True)
class ImportanceMatrix:
    """Finite values of 0 or more by tensor, [columns] or for experts one row after another; and the file's hash."""

    values: Mapping[str, Floats]
    content_hash: str
    """``sha256:`` and 64 hexadecimal digits."""


def read_importance(path: Path) -> ImportanceMatrix:
    """Raises OSError, ImportanceError."""
    content, identity = _read(path)
    with np.errstate(invalid="ignore"):  # what a signalling NaN in the file makes is refused below
        values = _read_gguf(path, identity) if content.startswith(_GGUF_MAGIC) else _read_binary(path, content)
    if not values:
        raise ImportanceError(f"{path} has no entries")
    for name, array in values.items():
        if not np.isfinite(array).all():
            raise ImportanceError(f"{path}: the values of {name!r} are not all finite")
        if (array < 0).any():
            raise ImportanceError(f"{path}: the values of {name!r} are sums of squares, and some are below 0")
    return ImportanceMatrix(values, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _read(path: Path) -> tuple[bytes, str]:
    """The content, and the state of the file that it is of."""
    content, status = read_regular(path, MAX_FILE_BYTES)
    if len(content) != status.st_size or file_identity(path) != state_of(status):
        raise _changed(path)
    return content, state_of(status)


def _changed(path: Path) -> ImportanceError:
    return ImportanceError(f"{path} changed while it was read")


def _read_gguf(path: Path, identity: str) -> dict[str, Floats]:
    try:
        file = _core.GgufFile(str(path))
        if file.identity != identity:
            raise _changed(path)
        return _of_tensors(path, file)
    except (_core.GgufError, _core.UnsupportedModelError) as error:
        raise ImportanceError(f"{path}: {error}") from error


def _of_tensors(path: Path, file: _core.GgufFile) -> dict[str, Floats]:
    kind = file.get("general.type")
    if kind != "imatrix":
        raise ImportanceError(f"{path} is a GGUF file, but no importance matrix: general.type is {kind!r}")
    tensors = {tensor.name: tensor for tensor in file.tensors()}
    values: dict[str, Floats] = {}
    for name, tensor in tensors.items():
        if name.endswith(_SUMS):
            base = name.removesuffix(_SUMS)
            counts = tensors.get(base + _COUNTS)
            if counts is None:
                raise ImportanceError(f"{path}: {name!r} has no counts")
            values[base] = _means(path, base, _floats(path, file, tensor), _floats(path, file, counts))
        elif not name.endswith(_COUNTS) or name.removesuffix(_COUNTS) + _SUMS not in tensors:
            raise ImportanceError(f"{path}: {name!r} is neither sums nor counts of any")
    return values


def _floats(path: Path, file: _core.GgufFile, tensor: _core.TensorInfo) -> Floats:
    if tensor.type != "F32":
        raise ImportanceError(f"{path}: {tensor.name!r} is {tensor.type}, not F32")
    return np.frombuffer(file.tensor_bytes(tensor.name), np.float32).reshape(tensor.shape)


def _means(path: Path, name: str, sums: Floats, counts: Floats) -> Floats:
    """Rows without any input count evenly."""
    columns = sums.shape[-1]
    rows = sums.reshape(-1, columns)
    if counts.size != len(rows):
        raise ImportanceError(f"{path}: {len(rows)} rows of sums have {counts.size} counts")
    if not np.isfinite(counts).all():
        raise ImportanceError(f"{path}: the counts of {name!r} are not all finite")
    # Doubles: in floats, adding a half to a count just below a half would give 1.
    inputs = np.floor(counts.reshape(-1, 1).astype(np.float64) + 0.5).astype(np.float32)
    seen = inputs > 0
    return np.where(seen, rows / np.where(seen, inputs, np.float32(1)), np.float32(1)).astype(np.float32).reshape(-1)


class _Binary:
    """A cursor that cannot leave the file."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        self._content = content
        self._position = 0

    def take(self, count: int, what: str) -> bytes:
        part = self._content[self._position : self._position + count]
        if len(part) != count:
            raise ImportanceError(f"{self._path} ends inside {what}")
        self._position += count
        return part

    def integer(self, what: str, least: int, most: int) -> int:
        (value,) = struct.unpack("<i", self.take(4, what))
        if not least <= value <= most:
            raise ImportanceError(f"{self._path}: {what} is {value}, not within {least} and {most}")
        return int(value)


def _read_binary(path: Path, content: bytes) -> dict[str, Floats]:
    source = _Binary(path, content)
    values: dict[str, Floats] = {}
    for entry in range(source.integer("the number of entries", 1, MAX_ENTRIES)):
        what = f"entry {entry}"
        try:
            name = source.take(source.integer(f"the name's length of {what}", 1, MAX_NAME_BYTES), what).decode()
        except UnicodeDecodeError as error:
            raise ImportanceError(f"{path}: the name of {what} is not UTF-8") from error
        calls = source.integer(f"the calls of {name!r}", 0, 2**31 - 1)
        count = source.integer(f"the values of {name!r}", 1, MAX_FILE_BYTES // 4)
        sums = np.frombuffer(source.take(4 * count, f"the values of {name!r}"), "<f4")
        if name in values:
            raise ImportanceError(f"{path}: {name!r} appears twice")
        values[name] = (sums / np.float32(calls) if calls > 0 else sums).astype(np.float32)
    return values
