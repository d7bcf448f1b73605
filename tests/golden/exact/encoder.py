"""Models that read texts whole, in float64: what a text's vector, or a pair's score, would be without any rounding.

Written from the models' own descriptions (BERT: Devlin et al. 2018; Nomic Embed: Nussbaum et al. 2024; EmbeddingGemma:
Vera et al. 2025), and apart from the engine's formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize

Array = npt.NDArray[np.float64]


class ExactEncoder:
    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._fields = {name: field.contents() for name, field in reader.fields.items()}
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._architecture = str(self._fields["general.architecture"])
        self._gemma = self._architecture == "gemma-embedding"
        self._heads = int(self._setting("attention.head_count"))
        self._kv_heads = int(self._setting("attention.head_count_kv", self._heads))
        rms = "attention.layer_norm_rms_epsilon" if self._gemma else "attention.layer_norm_epsilon"
        self._epsilon = float(self._setting(rms))

    def states(self, token_ids: Sequence[int], second_begin: int | None = None) -> Array:
        """``[tokens, embedding]`` what the last layer leaves."""
        x = self._embedded(token_ids, len(token_ids) if second_begin is None else second_begin)
        for layer in range(int(self._setting("block_count"))):
            x = self._gemma_layer(x, layer) if self._gemma else self._bert_layer(x, layer)
        return self._normed(x, "output_norm") if self._gemma else x

    def vector(self, token_ids: Sequence[int], pooling: str) -> Array:
        """The text's vector, of length 1."""
        states = self.states(token_ids)
        pooled = {"mean": states.mean(axis=0), "cls": states[0], "last": states[-1]}[pooling]
        for name in ("dense_2", "dense_3"):
            if f"{name}.weight" in self._tensors:
                pooled = self._projected(pooled, name)
        return np.asarray(pooled / np.linalg.norm(pooled))

    def score(self, token_ids: Sequence[int], second_begin: int) -> float:
        """How well the second text answers the first."""
        dense = np.tanh(self._projected(self.states(token_ids, second_begin)[0], "cls"))
        return float(self._projected(dense, "cls.output").item())

    def _setting(self, key: str, default: float | None = None) -> float:
        found = self._fields.get(f"{self._architecture}.{key}", default)
        assert isinstance(found, (int, float))
        return found

    def _tensor(self, name: str) -> Array:
        tensor = self._tensors[name]
        return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float64)

    def _projected(self, x: Array, name: str) -> Array:
        weight = self._tensor(f"{name}.weight").reshape(-1, x.shape[-1])
        bias = self._tensor(f"{name}.bias") if f"{name}.bias" in self._tensors else 0.0
        return np.asarray(x @ weight.T + bias)

    def _normed(self, x: Array, name: str) -> Array:
        weight = self._tensor(f"{name}.weight")
        if self._gemma:
            return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self._epsilon) * weight)
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + self._epsilon)
        return np.asarray(scaled * weight + self._tensor(f"{name}.bias"))

    def _embedded(self, token_ids: Sequence[int], second_begin: int) -> Array:
        x = self._tensor("token_embd.weight")[list(token_ids)]
        if self._gemma:
            return np.asarray(x * np.sqrt(x.shape[1]))
        types = (np.arange(len(token_ids)) >= second_begin).astype(int)
        x = x + self._tensor("token_types.weight")[types]
        if "position_embd.weight" in self._tensors:
            x = x + self._tensor("position_embd.weight")[: len(token_ids)]
        return self._normed(x, "token_embd_norm")

    def _bert_layer(self, x: Array, layer: int) -> Array:
        prefix = f"blk.{layer}."
        if f"{prefix}attn_qkv.weight" in self._tensors:
            query, key, value = np.split(self._projected(x, prefix + "attn_qkv"), 3, axis=1)
        else:
            query, key, value = (self._projected(x, f"{prefix}attn_{name}") for name in "qkv")
        rotated = self._architecture == "nomic-bert"
        base = float(self._setting("rope.freq_base", 10000.0)) if rotated else None
        attended = self._attend(self._split(query, self._heads), self._split(key, self._heads), value, base, None)
        x = self._normed(x + self._projected(attended, prefix + "attn_output"), prefix + "attn_output_norm")
        up = self._projected(x, prefix + "ffn_up")
        if f"{prefix}ffn_gate.weight" in self._tensors:
            gate = self._projected(x, prefix + "ffn_gate")
            up = gate / (1.0 + np.exp(-gate)) * up
        else:
            up = _gelu(up)
        return self._normed(x + self._projected(up, prefix + "ffn_down"), prefix + "layer_output_norm")

    def _gemma_layer(self, x: Array, layer: int) -> Array:
        prefix = f"blk.{layer}."
        pattern = int(self._setting("attention.sliding_window_pattern", 6))
        windowed = layer % pattern < pattern - 1
        inner = self._normed(x, prefix + "attn_norm")
        query = self._normed(
            self._split(self._projected(inner, prefix + "attn_q"), self._heads), prefix + "attn_q_norm"
        )
        key = self._normed(
            self._split(self._projected(inner, prefix + "attn_k"), self._kv_heads), prefix + "attn_k_norm"
        )
        base = 10000.0 if windowed else float(self._setting("rope.freq_base"))
        half = int(self._setting("attention.sliding_window")) // 2 if windowed else None
        attended = self._attend(query, key, self._projected(inner, prefix + "attn_v"), base, half)
        added = self._projected(attended, prefix + "attn_output")
        x = x + self._normed(added, prefix + "post_attention_norm")
        inner = self._normed(x, prefix + "ffn_norm")
        up = _gelu_by_tanh(self._projected(inner, prefix + "ffn_gate")) * self._projected(inner, prefix + "ffn_up")
        return x + self._normed(self._projected(up, prefix + "ffn_down"), prefix + "post_ffw_norm")

    @staticmethod
    def _split(x: Array, heads: int) -> Array:
        """``[tokens, heads, width]``."""
        return x.reshape(len(x), heads, -1)

    def _attend(self, query: Array, key: Array, value: Array, base: float | None, half: int | None) -> Array:
        """``half``: positions that a token sees on either side; ``None``: all."""
        if base is not None:
            query, key = _rotated(query, base), _rotated(key, base)
        value, group = self._split(value, self._kv_heads), self._heads // self._kv_heads
        places = np.arange(len(query))
        hidden = 0.0 if half is None else np.where(np.abs(places[:, None] - places) > half, -np.inf, 0.0)
        out = np.empty_like(query)
        for head in range(self._heads):
            scores = query[:, head] @ key[:, head // group].T / math.sqrt(query.shape[2]) + hidden
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ value[:, head // group]
        return out.reshape(len(out), -1)


def _rotated(heads: Array, base: float) -> Array:
    """Pairs of channels half a head apart, turned by the position."""
    half = heads.shape[2] // 2
    angles = np.arange(len(heads))[:, None] * base ** (-np.arange(half) / half)
    cosines, sines = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = heads[..., :half], heads[..., half:]
    return np.concatenate([first * cosines - second * sines, first * sines + second * cosines], axis=2)


def _gelu(x: Array) -> Array:
    """The exact one, by the error function."""
    return np.asarray(0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0))))


def _gelu_by_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))))
