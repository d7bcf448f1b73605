"""The reference of references: ``llama``, ``qwen2`` and ``gemma3`` forward passes in float64, written from the papers'
formulas.

Weights are those of the GGUF dequantized to float32; every sum, product and function after that is float64 and
nothing is rounded in between (no 8-bit activations, no 16-bit KV cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class ExactModel:
    """A GGUF's hyper-parameters and its tensors, dequantized one at a time as they are asked for."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.architecture = str(self._fields["general.architecture"].contents())
        self.layers = int(self._setting("block_count"))
        self.heads = int(self._setting("attention.head_count"))
        self.kv_heads = int(self._setting("attention.head_count_kv", self.heads))
        self.epsilon = float(self._setting("attention.layer_norm_rms_epsilon"))
        self.width = int(self._setting("embedding_length"))
        self.head_width = int(self._setting("attention.key_length", self.width // self.heads))
        self.rope_width = int(self._setting("rope.dimension_count", self.head_width))
        self.rope_base = float(self._setting("rope.freq_base", 10000.0))
        self.gemma = self.architecture == "gemma3"
        self.window = int(self._setting("attention.sliding_window", 0)) if self.gemma else 0

    def _setting(self, name: str, default: Any = None) -> Any:
        field = self._fields.get(f"{self.architecture}.{name}")
        if field is None and default is None:
            raise KeyError(f"{self.architecture}.{name}")
        return default if field is None else field.contents()

    def tensor(self, name: str) -> Array:
        """Rows outermost. Raises KeyError."""
        stored = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(stored.data, stored.tensor_type), np.float32).astype(np.float64)

    def tensor_or_none(self, name: str) -> Array | None:
        return self.tensor(name) if name in self._tensors else None

    def bias(self, name: str) -> Array | float:
        return self.tensor(name) if name in self._tensors else 0.0

    def has_window(self, layer: int) -> bool:
        """Five of six layers of a Gemma 3 that has one."""
        return self.window > 0 and layer % 6 < 5

    def frequencies(self, layer: int) -> Array:
        """Radians a position, one for each pair of a head's rotated dimensions."""
        rope_base = 10000.0 if self.has_window(layer) else self.rope_base
        base = rope_base ** (-np.arange(0, self.rope_width, 2, dtype=np.float64) / self.rope_width)
        return base / self.tensor("rope_freqs.weight") if "rope_freqs.weight" in self._tensors else base

    def head(self) -> Array:
        return self.tensor("output.weight" if "output.weight" in self._tensors else "token_embd.weight")

    def logits(self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Array]:
        """For each sequence its logits at the given positions, ``[positions, vocabulary]``.

        Every layer is dequantized once and carries all sequences through.
        """
        embeddings = self.tensor("token_embd.weight")
        scale = np.sqrt(self.width) if self.gemma else 1.0
        hidden = [embeddings[np.asarray(sequence)] * scale for sequence in sequences]
        del embeddings
        for layer in range(self.layers):
            weights = Layer(self, layer)
            hidden = [weights.forward(state) for state in hidden]
        norm, head = self.tensor("output_norm.weight"), self.head()
        return [
            rms_norm(state[np.asarray(wanted)], norm, self.epsilon) @ head.T
            for state, wanted in zip(hidden, positions, strict=True)
        ]


class Layer:
    """One transformer block's weights."""

    def __init__(self, model: ExactModel, index: int) -> None:
        prefix = f"blk.{index}."
        names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
        self._weight = {name: model.tensor(f"{prefix}{name}.weight") for name in names}
        self._bias = {name: model.bias(f"{prefix}{name}.bias") for name in names}
        self._attention_norm = model.tensor(f"{prefix}attn_norm.weight")
        self._ffn_norm = model.tensor(f"{prefix}ffn_norm.weight")
        norms = ("attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm")
        self._optional_norm = {name: model.tensor_or_none(f"{prefix}{name}.weight") for name in norms}
        self._model, self._index = model, index

    def forward(self, state: Array) -> Array:
        """``[tokens, width]`` to the same, for tokens at consecutive positions from 0."""
        epsilon = self._model.epsilon
        attention = self._attention(rms_norm(state, self._attention_norm, epsilon))
        state = state + self._normed("post_attention_norm", attention)
        normed = rms_norm(state, self._ffn_norm, epsilon)
        gate = self._project("ffn_gate", normed)
        activated = gelu(gate) if self._model.gemma else gate / (1.0 + np.exp(-gate))
        return state + self._normed(
            "post_ffw_norm", self._project("ffn_down", activated * self._project("ffn_up", normed))
        )

    def _normed(self, name: str, state: Array) -> Array:
        """By a norm that not every architecture has."""
        weight = self._optional_norm[name]
        return state if weight is None else rms_norm(state, weight, self._model.epsilon)

    def _project(self, name: str, state: Array) -> Array:
        return state @ self._weight[name].T + self._bias[name]

    def _attention(self, state: Array) -> Array:
        model, tokens = self._model, len(state)
        query = self._project("attn_q", state).reshape(tokens, model.heads, model.head_width)
        key = self._project("attn_k", state).reshape(tokens, model.kv_heads, model.head_width)
        query = self._rotate(self._normed("attn_q_norm", query))
        key = self._rotate(self._normed("attn_k_norm", key))
        value = self._project("attn_v", state).reshape(tokens, model.kv_heads, model.head_width)
        hidden_from = np.triu(np.full((tokens, tokens), -np.inf), 1)
        if model.has_window(self._index):
            hidden_from += np.tril(np.full((tokens, tokens), -np.inf), -model.window)
        mixed = np.empty_like(query)
        for head in range(model.heads):
            shared = head * model.kv_heads // model.heads
            scores = query[:, head] @ key[:, shared].T / np.sqrt(model.head_width) + hidden_from
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed[:, head] = scores / scores.sum(axis=1, keepdims=True) @ value[:, shared]
        return self._project("attn_output", mixed.reshape(tokens, -1))

    def _rotate(self, vectors: Array) -> Array:
        """RoPE: ``llama`` pairs neighbours (2i, 2i+1), the others pair halves (i, i + width/2)."""
        width = self._model.rope_width
        angles = np.outer(np.arange(len(vectors)), self._model.frequencies(self._index))[:, None, :]
        if self._model.architecture == "llama":
            first, second = slice(0, width, 2), slice(1, width, 2)
        else:
            first, second = slice(0, width // 2), slice(width // 2, width)
        left, right = vectors[..., first], vectors[..., second]
        rotated = vectors.copy()
        rotated[..., first] = left * np.cos(angles) - right * np.sin(angles)
        rotated[..., second] = left * np.sin(angles) + right * np.cos(angles)
        return rotated


def gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))))


def rms_norm(state: Array, weight: Array, epsilon: float) -> Array:
    root = np.sqrt(np.mean(state * state, axis=-1, keepdims=True) + epsilon)
    return np.asarray(state / root * weight)
