"""Models of the sizes people run, with random weights, written a tensor at a time: equal options give equal bytes.

Quantizers see names, types, shapes and values; nothing could be said with such a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.support.blocks import encode_floats
from tests.support.gguf_factory import add_shape
from tests.support.quantized_models import add_llama_keys, weight_rows

_CHUNK_VALUES = 1 << 22
"""Made at once: less than a matrix, for the memory's sake."""


@dataclass(frozen=True)
class FullSizeModel:
    """Tied embeddings, heads of ``head_size``."""

    architecture: str
    tensor_type: str
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    bias: bool = False
    seed: int = 0

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes, [rows, columns] or [columns], in the order of the file."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        yield "token_embd.weight", (self.vocabulary, self.embedding)
        for layer in range(self.layers):
            for name, rows, columns in (
                ("attn_q", queries, self.embedding),
                ("attn_k", keys, self.embedding),
                ("attn_v", keys, self.embedding),
                ("attn_output", self.embedding, queries),
                ("ffn_gate", self.feed_forward, self.embedding),
                ("ffn_up", self.feed_forward, self.embedding),
                ("ffn_down", self.embedding, self.feed_forward),
            ):
                yield f"blk.{layer}.{name}.weight", (rows, columns)
                if self.bias and name in {"attn_q", "attn_k", "attn_v"}:
                    yield f"blk.{layer}.{name}.bias", (rows,)
            for name in ("attn_norm", "ffn_norm"):
                yield f"blk.{layer}.{name}.weight", (self.embedding,)
        yield "output_norm.weight", (self.embedding,)


FULL_SIZE_MODELS = {
    "llama_3.2_1b_f16": FullSizeModel("llama", "F16", 16, 2048, 8192, 32, 8, 64, 128_256, seed=21),
    "qwen2.5_0.5b_bf16": FullSizeModel("qwen2", "BF16", 24, 896, 4864, 14, 2, 64, 151_936, bias=True, seed=22),
}


def write_full_size_model(path: Path, model: FullSizeModel) -> Path:
    """Two bytes a weight."""
    writer = gguf.GGUFWriter(path, model.architecture)
    writer.add_name("full size")
    add_shape(writer, model.layers, 256, model.embedding, model.feed_forward, model.heads)
    add_llama_keys(writer, kv_heads=model.kv_heads, vocabulary=model.vocabulary)
    for name, shape in model.tensors():
        kind = gguf.GGMLQuantizationType[_type(model, shape)]
        _, size = gguf.GGML_QUANT_SIZES[kind]
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size * int(np.prod(shape)), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    random = np.random.default_rng(model.seed)
    for _, shape in model.tensors():
        writer.write_tensor_data(_values(random, _type(model, shape), shape))
    writer.close()
    return path


def _type(model: FullSizeModel, shape: tuple[int, ...]) -> str:
    return "F32" if len(shape) == 1 else model.tensor_type


def _values(random: np.random.Generator, tensor_type: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    if len(shape) == 1:
        return random.normal(1.0, 0.1, shape).astype(np.float32)
    rows, columns = shape
    step = max(1, _CHUNK_VALUES // columns)
    chunks = [
        encode_floats(tensor_type, weight_rows(random, min(step, rows - row), columns)) for row in range(0, rows, step)
    ]
    return np.concatenate(chunks)
