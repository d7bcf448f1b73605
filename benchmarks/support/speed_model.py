"""A model that is made for its speed alone: a llama of random weights, every matrix of the same tensor type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.support.gguf_factory import RandomTensors, add_shape, new_gguf, random_matrix
from tests.support.gguf_vocabulary import add_vocabulary, tiny_bpe
from tests.support.quantized_models import add_llama_keys

_TILE_ROWS = 128
"""Rows that are drawn; a matrix repeats them, since numbers do not change its speed."""


@dataclass(frozen=True)
class SpeedModel:
    """The shape of TinyLlama with fewer layers and hardly a vocabulary."""

    tensor_type: str
    layers: int = 6
    embedding: int = 2048
    feed_forward: int = 5632
    heads: int = 32
    kv_heads: int = 4
    context_length: int = 512
    seed: int = 0

    @property
    def layer_weights(self) -> int:
        """Weights of all layers' matrices."""
        kv_width = self.embedding // self.heads * self.kv_heads
        return self.layers * self.embedding * (2 * self.embedding + 2 * kv_width + 3 * self.feed_forward)


def write_speed_model(path: Path, model: SpeedModel) -> Path:
    """Write the model to ``path``; equal models give equal bytes."""
    vocabulary = tiny_bpe()
    with new_gguf(path, "llama") as writer:
        add_shape(writer, model.layers, model.context_length, model.embedding, model.feed_forward, model.heads)
        add_llama_keys(writer, kv_heads=model.kv_heads, vocabulary=len(vocabulary))
        writer.add_rope_dimension_count(model.embedding // model.heads)
        add_vocabulary(writer, vocabulary, "smollm")
        _Tensors(writer, model).add(len(vocabulary))
    return path


class _Tensors(RandomTensors[SpeedModel]):
    def __init__(self, writer: gguf.GGUFWriter, model: SpeedModel) -> None:
        super().__init__(writer, model)
        self._made: dict[tuple[int, int], npt.NDArray[np.generic]] = {}

    def add(self, vocabulary: int) -> None:
        model = self._model
        kv_width = model.embedding // model.heads * model.kv_heads
        self._repeated("token_embd", vocabulary, model.embedding)
        for layer in range(model.layers):
            prefix = f"blk.{layer}."
            self.norm(f"{prefix}attn_norm", model.embedding)
            for name, rows in (("attn_q", model.embedding), ("attn_k", kv_width), ("attn_v", kv_width)):
                self._repeated(f"{prefix}{name}", rows, model.embedding)
            self._repeated(f"{prefix}attn_output", model.embedding, model.embedding)
            self.norm(f"{prefix}ffn_norm", model.embedding)
            self._repeated(f"{prefix}ffn_gate", model.feed_forward, model.embedding)
            self._repeated(f"{prefix}ffn_up", model.feed_forward, model.embedding)
            self._repeated(f"{prefix}ffn_down", model.embedding, model.feed_forward)
        self.norm("output_norm", model.embedding)

    def _repeated(self, name: str, rows: int, columns: int) -> None:
        type_name = self._model.tensor_type
        if (rows, columns) not in self._made:
            tile = random_matrix(self._random, type_name, (_TILE_ROWS, columns))
            self._made[rows, columns] = np.tile(tile, (-(-rows // _TILE_ROWS), 1))[:rows]
        data = self._made[rows, columns]
        self._writer.add_tensor(f"{name}.weight", data, raw_dtype=gguf.GGMLQuantizationType[type_name])
