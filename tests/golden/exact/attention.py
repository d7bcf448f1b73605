"""Attention of one layer: grouped KV heads (Ainslie et al. 2023), causal, within a window where the layer has one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.golden.exact.formulas import Array, soft_cap, softmax
from tests.golden.exact.rotation import Rotation, original_context
from tests.golden.exact.traits import TRAITS
from tests.golden.exact.weights import Weights


class Attention:
    def __init__(self, weights: Weights, layer: int, cache: npt.DTypeLike) -> None:
        """``cache``: what keys and values are rounded to between a token and those that attend to it."""
        self._prefix = f"blk.{layer}."
        self._cache: npt.DTypeLike = cache
        self._heads = int(weights.setting("attention.head_count"))
        self._kv_heads = int(np.max(weights.setting("attention.head_count_kv", self._heads)))  # 0 in layers without
        width = int(weights.setting("embedding_length")) // self._heads
        self._width = int(weights.setting("attention.key_length", width))
        self._scale = float(weights.setting("attention.scale", 0.0)) or self._width**-0.5
        self._cap = float(weights.setting("attn_logit_softcapping", 0.0))
        self._weights = weights
        self._norm_after_rotation = TRAITS[weights.architecture].norm_after_rotation
        self._window = _window(weights, layer)
        self._rotation = _rotation(weights, layer, self._width, windowed=self._window > 0)
        self._growth = _growth_of_queries(weights)
        self._sinks = weights.tensor_or_none(f"{self._prefix}attn_sinks")
        self._read_projections(weights)

    def _read_projections(self, weights: Weights) -> None:
        names = ["attn_qkv"] if f"{self._prefix}attn_qkv" in weights else ["attn_q", "attn_k", "attn_v"]
        self._inputs = np.concatenate([weights.tensor(self._prefix + name) for name in names])
        self._biases = np.concatenate(
            [_bias(weights, self._prefix + name, weights.rows(self._prefix + name)) for name in names]
        )
        self._output = weights.tensor(f"{self._prefix}attn_output")
        self._output_bias = _bias(weights, f"{self._prefix}attn_output", len(self._output))

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same, for tokens at positions from 0 on."""
        query, key, value = self._project(state)
        mask = causal_mask(len(state), self._window)
        mixed = np.empty_like(query)
        for head in range(self._heads):
            shared = head * self._kv_heads // self._heads
            scores = soft_cap(query[:, head] @ key[:, shared].T * self._scale, self._cap) + mask
            mixed[:, head] = self._weights_of(scores, head) @ value[:, shared]
        projected: Array = mixed.reshape(len(state), -1) @ self._output.T + self._output_bias
        return projected

    def _weights_of(self, scores: Array, head: int) -> Array:
        """Softmax of each query's scores, beside that of the head's sink, if there is one."""
        if self._sinks is None:
            return softmax(scores)
        sink = np.full((len(scores), 1), self._sinks[head])
        return softmax(np.concatenate([scores, sink], axis=1))[:, :-1]

    def _project(self, state: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values, ``[tokens, heads, width]``, as they meet."""
        widths = np.cumsum([self._heads * self._width, self._kv_heads * self._width])
        query, key, value = np.split(state @ self._inputs.T + self._biases, widths, axis=1)
        query, key = self._placed(query, "attn_q_norm"), self._placed(key, "attn_k_norm")
        scale, step = self._growth
        query *= (1.0 + scale * np.log1p(np.arange(len(state)) // step))[:, None, None]
        return query, self._cached(key), self._cached(self._as_heads(value))

    def _placed(self, vectors: Array, norm: str) -> Array:
        """Normalized and rotated."""
        heads = self._as_heads(vectors)
        if self._norm_after_rotation:
            return self._normed(self._rotated(heads), norm)
        return self._rotated(self._normed(heads, norm))

    def _rotated(self, heads: Array) -> Array:
        return heads if self._rotation is None else self._rotation.rotate(heads)

    def _normed(self, heads: Array, norm: str) -> Array:
        """A norm as wide as all heads is of all of them together, one as wide as a head of each."""
        name = self._prefix + norm
        if name not in self._weights:
            return heads
        whole = self._weights.tensor(name).shape == (heads.shape[1] * self._width,) != (self._width,)
        vectors = heads.reshape(len(heads), -1) if whole else heads
        return self._weights.normed(name, vectors).reshape(heads.shape)

    def _as_heads(self, vectors: Array) -> Array:
        return vectors.reshape(len(vectors), -1, self._width)

    def _cached(self, vectors: Array) -> Array:
        return rounded_to(self._cache, vectors)


def rounded_to(cache: npt.DTypeLike, vectors: Array) -> Array:
    stored: npt.NDArray[Any] = vectors.astype(cache)
    return stored.astype(np.float64)


def _bias(weights: Weights, name: str, rows: int) -> Array:
    bias = weights.tensor_or_none(f"{name}.bias")
    return np.zeros(rows) if bias is None else bias


def _window(weights: Weights, layer: int) -> int:
    """The newest positions that a token attends to, its own included; 0: all."""
    traits = TRAITS[weights.architecture]
    every = traits.full_every
    if every == 0 or int(weights.setting("block_count")) < traits.full_from_layers or layer % every == every - 1:
        return 0
    return int(weights.setting("attention.sliding_window", 0))


def causal_mask(tokens: int, window: int) -> Array:
    """What is added to scores, ``[queries, keys]``."""
    distance = np.subtract.outer(np.arange(tokens), np.arange(tokens))
    seen = (distance >= 0) & (distance < (window or tokens))
    return np.where(seen, 0.0, -np.inf)


def _rotation(weights: Weights, layer: int, width: int, *, windowed: bool) -> Rotation | None:
    traits = TRAITS[weights.architecture]
    windows = int(weights.setting("attention.sliding_window", 0)) > 0
    if not traits.rotated or (traits.rotated_windows and windows and not windowed):
        return None
    every = traits.unrotated_every
    if every and layer % every == every - 1:
        return None
    if traits.rotated_if_finetuned and not weights.setting("rope.scaling.finetuned", True):
        return None
    return Rotation(weights, width, windowed=windowed)


def _growth_of_queries(weights: Weights) -> tuple[float, int]:
    """Mistral 3's: scale and step of 1 + scale · ln(1 + floor(position / step))."""
    scale = float(weights.setting("attention.temperature_scale", 0.0))
    return scale, original_context(weights)
