"""The reference of references: ``llama`` and ``qwen2`` forward passes in float64, written from the papers' formulas.

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

    def _setting(self, name: str, default: Any = None) -> Any:
        field = self._fields.get(f"{self.architecture}.{name}")
        if field is None and default is None:
            raise KeyError(f"{self.architecture}.{name}")
        return default if field is None else field.contents()

    def tensor(self, name: str) -> Array:
        """Rows outermost. Raises KeyError."""
        stored = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(stored.data, stored.tensor_type), np.float32).astype(np.float64)

    def bias(self, name: str) -> Array | float:
        return self.tensor(name) if name in self._tensors else 0.0

    def frequencies(self) -> Array:
        """Radians a position, one for each pair of a head's rotated dimensions."""
        base = self.rope_base ** (-np.arange(0, self.rope_width, 2, dtype=np.float64) / self.rope_width)
        return base / self.tensor("rope_freqs.weight") if "rope_freqs.weight" in self._tensors else base

    def head(self) -> Array:
        return self.tensor("output.weight" if "output.weight" in self._tensors else "token_embd.weight")

    def logits(self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Array]:
        """For each sequence its logits at the given positions, ``[positions, vocabulary]``.

        Every layer is dequantized once and carries all sequences through.
        """
        embeddings = self.tensor("token_embd.weight")
        hidden = [embeddings[np.asarray(sequence)] for sequence in sequences]
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
        self._model = model

    def forward(self, state: Array) -> Array:
        """``[tokens, width]`` to the same, for tokens at consecutive positions from 0."""
        epsilon = self._model.epsilon
        state = state + self._attention(rms_norm(state, self._attention_norm, epsilon))
        normed = rms_norm(state, self._ffn_norm, epsilon)
        gate = self._project("ffn_gate", normed)
        return state + self._project("ffn_down", gate / (1.0 + np.exp(-gate)) * self._project("ffn_up", normed))

    def _project(self, name: str, state: Array) -> Array:
        return state @ self._weight[name].T + self._bias[name]

    def _attention(self, state: Array) -> Array:
        model, tokens = self._model, len(state)
        query = self._rotate(self._project("attn_q", state).reshape(tokens, model.heads, model.head_width))
        key = self._rotate(self._project("attn_k", state).reshape(tokens, model.kv_heads, model.head_width))
        value = self._project("attn_v", state).reshape(tokens, model.kv_heads, model.head_width)
        hidden_from = np.triu(np.full((tokens, tokens), -np.inf), 1)
        mixed = np.empty_like(query)
        for head in range(model.heads):
            shared = head * model.kv_heads // model.heads
            scores = query[:, head] @ key[:, shared].T / np.sqrt(model.head_width) + hidden_from
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed[:, head] = scores / scores.sum(axis=1, keepdims=True) @ value[:, shared]
        return self._project("attn_output", mixed.reshape(tokens, -1))

    def _rotate(self, vectors: Array) -> Array:
        """RoPE: ``llama`` pairs neighbours (2i, 2i+1), ``qwen2`` pairs halves (i, i + width/2)."""
        width = self._model.rope_width
        angles = np.outer(np.arange(len(vectors)), self._model.frequencies())[:, None, :]
        if self._model.architecture == "llama":
            first, second = slice(0, width, 2), slice(1, width, 2)
        else:
            first, second = slice(0, width // 2), slice(width // 2, width)
        left, right = vectors[..., first], vectors[..., second]
        rotated = vectors.copy()
        rotated[..., first] = left * np.cos(angles) - right * np.sin(angles)
        rotated[..., second] = left * np.sin(angles) + right * np.cos(angles)
        return rotated


def rms_norm(state: Array, weight: Array, epsilon: float) -> Array:
    root = np.sqrt(np.mean(state * state, axis=-1, keepdims=True) + epsilon)
    return np.asarray(state / root * weight)
