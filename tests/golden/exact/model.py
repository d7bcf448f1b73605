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
from tests.golden.exact.feed_forward import Experts, FeedForward, Routing
from tests.golden.exact.formulas import Array, soft_cap
from tests.golden.exact.latent_attention import LatentAttention
from tests.golden.exact.short_convolution import ShortConvolution
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
        unused = int(self._weights.setting("nextn_predict_layers", 0))  # guess tokens further ahead
        self._layers = int(self._weights.setting("block_count")) - unused

    def logits(self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Array]:
        """Logits of each sequence at the given positions, ``[positions, vocabulary]``.

        Every layer is dequantized once and carries all sequences through.
        """
        hidden = [self._embedded(sequence) for sequence in sequences]
        for index in range(self._layers):
            layer = Layer(self._weights, index, self._cache)
            hidden = [layer.forward(state) for state in hidden]
        wanted = [state[np.asarray(places)] for state, places in zip(hidden, positions, strict=True)]
        return self._headed([self._weights.normed(self._traits.output_norm, state) for state in wanted])

    def routing(self, sequence: Sequence[int]) -> list[Routing]:
        """Routing of each layer that has experts."""
        state, routes = self._embedded(sequence), list[Routing]()
        for index in range(self._layers):
            layer = Layer(self._weights, index, self._cache)
            if (route := layer.routing(state)) is not None:
                routes.append(route)
            state = layer.forward(state)
        return routes

    def _embedded(self, sequence: Sequence[int]) -> Array:
        embedded = self._weights.tensor("token_embd", np.asarray(sequence, np.int64))
        scale = np.sqrt(embedded.shape[1]) if self._traits.scaled_embedding else 1.0
        embedded *= scale * float(self._weights.setting("embedding_scale", 1.0))
        positions = self._weights.tensor_or_none("position_embd")
        return embedded if positions is None else embedded + positions[: len(embedded)]

    def _headed(self, states: Sequence[Array]) -> list[Array]:
        name = "output" if "output" in self._weights else "token_embd"
        vocabulary = self._weights.rows(name)
        logits = [np.empty((len(state), vocabulary)) for state in states]
        for begin in range(0, vocabulary, HEAD_ROWS):
            rows = slice(begin, begin + HEAD_ROWS)
            head = self._weights.tensor(name, rows)
            for state, made in zip(states, logits, strict=True):
                made[:, rows] = state @ head.T
        if "output.bias" in self._weights:
            logits = [made + self._weights.tensor("output.bias") for made in logits]
        scale = float(self._weights.setting("logit_scale", 1.0))
        if self._traits.logits_are_multiplied:
            scale = 1.0 / scale
        cap = float(self._weights.setting("final_logit_softcapping", 0.0))
        return [soft_cap(made / scale, cap) for made in logits]


class Layer:
    """Norms of what its halves read and of what they add are there where the file has them."""

    def __init__(self, weights: Weights, index: int, cache: npt.DTypeLike) -> None:
        self._prefix = f"blk.{index}."
        self._weights = weights
        self._traits = TRAITS[weights.architecture]
        self._scale = float(weights.setting("residual_scale", 1.0))
        self._attention = _mixer(weights, index, cache)
        routed = f"{self._prefix}ffn_gate_inp" in weights
        self._feed_forward = Experts(weights, self._prefix) if routed else FeedForward(weights, self._prefix)

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same, for tokens at positions from 0 on."""
        after = self._after_attention(state)
        fed = self._feed_forward.forward(self._second_input(state, after))
        return after + self._scale * self._normed("post_ffw_norm", fed)

    def routing(self, state: Array) -> Routing | None:
        """Which experts ``forward`` would ask; none in a layer without some."""
        if not isinstance(self._feed_forward, Experts):
            return None
        return self._feed_forward.route(self._second_input(state, self._after_attention(state)))

    def _second_input(self, state: Array, after_attention: Array) -> Array:
        """What the feed-forward reads; where that is what attention reads, by the same norm."""
        if self._traits.parallel:
            return self._normed("attn_norm", state)
        return self._normed(self._traits.second_norm, after_attention)

    def _after_attention(self, state: Array) -> Array:
        attended = self._attention.forward(self._normed("attn_norm", state))
        if self._traits.second_norm != "post_attention_norm":
            attended = self._normed("post_attention_norm", attended)
        return state + self._scale * attended

    def _normed(self, name: str, state: Array) -> Array:
        name = self._prefix + name
        return self._weights.normed(name, state) if name in self._weights else state


def _mixer(weights: Weights, index: int, cache: npt.DTypeLike) -> Attention | LatentAttention | ShortConvolution:
    """The layer's attention, or what stands in its place."""
    if f"blk.{index}.shortconv.conv" in weights:
        return ShortConvolution(weights, index)
    latent = f"blk.{index}.attn_kv_a_mqa" in weights
    return LatentAttention(weights, index, cache) if latent else Attention(weights, index, cache)
