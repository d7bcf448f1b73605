"""GGUF files put together byte by byte, so that every count, size and offset in them can lie."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_FORMATS = {
    U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i",
    F32: "<f", BOOL: "<?", U64: "<Q", I64: "<q", F64: "<d",
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A metadata value: its type number and its bytes."""

    type_id: int
    payload: bytes


def text_bytes(text: str | bytes, length: int | None = None) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def scalar(type_id: int, value: float) -> Value:
    return Value(type_id, struct.pack(_FORMATS[type_id], value))


def u32(value: int) -> Value:
    return scalar(U32, value)


def text(content: str | bytes, length: int | None = None) -> Value:
    return Value(STRING, text_bytes(content, length))


def array(type_id: int, values: Sequence[float], count: int | None = None) -> Value:
    elements = b"".join(struct.pack(_FORMATS[type_id], value) for value in values)
    return Value(ARRAY, struct.pack("<IQ", type_id, len(values) if count is None else count) + elements)


def texts(values: Sequence[str | bytes], count: int | None = None) -> Value:
    elements = b"".join(text_bytes(value) for value in values)
    return Value(ARRAY, struct.pack("<IQ", STRING, len(values) if count is None else count) + elements)


@dataclass(frozen=True)
class Tensor:
    """A tensor's description; the file gets ``data`` bytes for it."""

    name: str | bytes
    dimensions: tuple[int, ...]
    """Dimensions in a file's order: the contiguous one first."""
    type_id: int = 0
    data: bytes = b""
    offset: int | None = None
    """None: behind the tensor before it."""
    dimension_count: int | None = None


@dataclass(frozen=True)
class GgufBytes:
    """A whole file. What is None is computed; anything else is written as it stands."""

    pairs: Sequence[tuple[str | bytes, Value]] = ()
    tensors: Sequence[Tensor] = ()
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    pair_count: int | None = None
    alignment: int = 32

    def build(self) -> bytes:
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.pairs) if self.pair_count is None else self.pair_count,
        )
        head = self.magic + struct.pack("<IQQ", self.version, *counts)
        for key, value in self.pairs:
            head += text_bytes(key) + struct.pack("<I", value.type_id) + value.payload
        data = b""
        for tensor in self.tensors:
            head += _description(tensor, len(data))
            data += self._padded(tensor.data)
        return self._padded(head) + data if self.tensors else head

    def write(self, path: Path) -> Path:
        path.write_bytes(self.build())
        return path

    def _padded(self, content: bytes) -> bytes:
        return content + bytes(-len(content) % self.alignment)


def _description(tensor: Tensor, offset: int) -> bytes:
    count = len(tensor.dimensions) if tensor.dimension_count is None else tensor.dimension_count
    description = text_bytes(tensor.name) + struct.pack("<I", count)
    description += b"".join(struct.pack("<Q", dimension) for dimension in tensor.dimensions)
    return description + struct.pack("<IQ", tensor.type_id, offset if tensor.offset is None else tensor.offset)


def float_tensor(name: str, rows: int, columns: int | None = None) -> Tensor:
    """All ones; a vector where no columns are given."""
    dimensions = (rows,) if columns is None else (columns, rows)
    return Tensor(name, dimensions, data=struct.pack("<f", 1.0) * (rows * (columns or 1)))


_METADATA: dict[str, Value] = {
    "general.architecture": text("llama"),
    "llama.block_count": u32(1),
    "llama.context_length": u32(64),
    "llama.embedding_length": u32(16),
    "llama.feed_forward_length": u32(32),
    "llama.attention.head_count": u32(2),
    "llama.attention.head_count_kv": u32(1),
    "llama.attention.layer_norm_rms_epsilon": scalar(F32, 1e-5),
    "llama.rope.freq_base": scalar(F32, 10000.0),
    "tokenizer.ggml.model": text("gpt2"),
    "tokenizer.ggml.tokens": texts(["a", "b", "Ġc", "<end>"]),
    "tokenizer.ggml.token_type": array(I32, [1, 1, 1, 3]),
}
_TENSORS = (
    float_tensor("token_embd.weight", 4, 16),
    float_tensor("blk.0.attn_norm.weight", 16),
    float_tensor("blk.0.attn_q.weight", 16, 16),
    float_tensor("blk.0.attn_k.weight", 8, 16),
    float_tensor("blk.0.attn_v.weight", 8, 16),
    float_tensor("blk.0.attn_output.weight", 16, 16),
    float_tensor("blk.0.ffn_norm.weight", 16),
    float_tensor("blk.0.ffn_gate.weight", 32, 16),
    float_tensor("blk.0.ffn_up.weight", 32, 16),
    float_tensor("blk.0.ffn_down.weight", 16, 32),
    float_tensor("output_norm.weight", 16),
)


@dataclass(frozen=True)
class ModelBytes:
    """The least model that loads: one layer, two heads of 8 and one KV head, four tokens."""

    metadata: Mapping[str, Value] = field(default_factory=lambda: dict(_METADATA))
    tensors: Mapping[str, Tensor] = field(default_factory=lambda: {str(tensor.name): tensor for tensor in _TENSORS})

    def having(self, **metadata: Value) -> ModelBytes:
        """The same model with other metadata; ``__`` in a name stands for a dot."""
        return replace(self, metadata={**self.metadata, **{k.replace("__", "."): v for k, v in metadata.items()}})

    def lacking(self, name: str) -> ModelBytes:
        return ModelBytes(
            {key: value for key, value in self.metadata.items() if key != name},
            {key: tensor for key, tensor in self.tensors.items() if key != name},
        )

    def with_tensor(self, tensor: Tensor) -> ModelBytes:
        return replace(self, tensors={**self.tensors, str(tensor.name): tensor})

    def write(self, path: Path) -> Path:
        return GgufBytes(tuple(self.metadata.items()), tuple(self.tensors.values())).write(path)
