"""The reference of references: a decoder's forward pass in float64, written from the papers' formulas.

Weights are those of the GGUF dequantized to float32; every sum, product and function after that is float64 and nothing
is rounded in between: no 8-bit activations and, unless it is asked for, no 16-bit KV cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.golden.exact.attention import Attention
from tests.golden.exact.feed_forward import Experts, GatedFeedForward, Routing
from tests.golden.exact.formulas import Array, rms_norm, soft_cap
from tests.golden.exact.traits import TRAITS
from tests.golden.exact.weights import Weights

HEAD_ROWS = 32768
"""Rows of the head that are in memory at once."""


class ExactModel:
    def __init__(self, path: Path, cache: npt.DTypeLike = np.float64) -> None:
        """``cache``: what keys and values are rounded to. Raises KeyError: an architecture that is not described."""
        self._weights = Weights(path)
        self._traits = TRAITS[self._weights.architecture]
        self._cache: npt.DTypeLike = cache
        self._epsilon = float(self._weights.setting("attention.layer_norm_rms_epsilon"))

    def logits(self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Array]:
        """Logits of each sequence at the given positions, ``[positions, vocabulary]``.

        Every layer is dequantized once and carries all sequences through.
        """
        hidden = [self._embedded(sequence) for sequence in sequences]
        for index in range(int(self._weights.setting("block_count"))):
            layer = Layer(self._weights, index, self._cache)
            hidden = [layer.forward(state) for state in hidden]
        norm = self._weights.tensor("output_norm")
        wanted = [state[np.asarray(places)] for state, places in zip(hidden, positions, strict=True)]
        return self._headed([rms_norm(state, norm, self._epsilon) for state in wanted])

    def routing(self, sequence: Sequence[int]) -> list[Routing]:
        """Routing of each layer. Raises TypeError: a layer has no experts."""
        state, routes = self._embedded(sequence), []
        for index in range(int(self._weights.setting("block_count"))):
            layer = Layer(self._weights, index, self._cache)
            routes.append(layer.routing(state))
            state = layer.forward(state)
        return routes

    def _embedded(self, sequence: Sequence[int]) -> Array:
        embedded = self._weights.tensor("token_embd", np.asarray(sequence, np.int64))
        scale = np.sqrt(embedded.shape[1]) if self._traits.scaled_embedding else 1.0
        return np.asarray(embedded * scale * float(self._weights.setting("embedding_scale", 1.0)))

    def _headed(self, states: Sequence[Array]) -> list[Array]:
        name = "output" if "output" in self._weights else "token_embd"
        vocabulary = self._weights.rows(name)
        logits = [np.empty((len(state), vocabulary)) for state in states]
        for begin in range(0, vocabulary, HEAD_ROWS):
            rows = slice(begin, begin + HEAD_ROWS)
            head = self._weights.tensor(name, rows)
            for state, made in zip(states, logits, strict=True):
                made[:, rows] = state @ head.T
        scale = float(self._weights.setting("logit_scale", 1.0))
        cap = float(self._weights.setting("final_logit_softcapping", 0.0))
        return [soft_cap(made / scale, cap) for made in logits]


class Layer:
    """Norms of what its halves read and of what they add are there where the file has them."""

    def __init__(self, weights: Weights, index: int, cache: npt.DTypeLike) -> None:
        prefix = f"blk.{index}."
        names = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
        self._norms = {name: weights.tensor_or_none(prefix + name) for name in names}
        self._epsilon = float(weights.setting("attention.layer_norm_rms_epsilon"))
        self._scale = float(weights.setting("residual_scale", 1.0))
        self._attention = Attention(weights, index, cache)
        routed = f"{prefix}ffn_gate_inp" in weights
        self._feed_forward = Experts(weights, prefix) if routed else GatedFeedForward(weights, prefix)

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same, for tokens at positions from 0 on."""
        state = self._after_attention(state)
        fed = self._feed_forward.forward(self._normed("ffn_norm", state))
        return state + self._scale * self._normed("post_ffw_norm", fed)

    def routing(self, state: Array) -> Routing:
        """Which experts ``forward`` would ask. Raises TypeError: the layer has none."""
        if not isinstance(self._feed_forward, Experts):
            raise TypeError("no experts")
        return self._feed_forward.route(self._normed("ffn_norm", self._after_attention(state)))

    def _after_attention(self, state: Array) -> Array:
        attended = self._attention.forward(self._normed("attn_norm", state))
        return state + self._scale * self._normed("post_attention_norm", attended)

    def _normed(self, name: str, state: Array) -> Array:
        norm = self._norms[name]
        return state if norm is None else rms_norm(state, norm, self._epsilon)
