"""Multi-head latent attention of one layer (DeepSeek-V2, 2024): keys and values of all heads are projections of one
small vector of each token, and of the key's rotated part, which all heads share.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.golden.exact.attention import causal_mask, rounded_to
from tests.golden.exact.formulas import Array, softmax
from tests.golden.exact.rotation import Rotation, yarn_magnitude
from tests.golden.exact.weights import Weights


class LatentAttention:
    def __init__(self, weights: Weights, layer: int, cache: npt.DTypeLike) -> None:
        """``cache``: what latents and rotated parts are rounded to between a token and those that attend to it."""
        self._prefix = f"blk.{layer}."
        self._weights = weights
        self._cache: npt.DTypeLike = cache
        self._heads = int(weights.setting("attention.head_count"))
        self._rotated = int(weights.setting("rope.dimension_count"))
        self._width = int(weights.setting("attention.key_length_mla"))
        self._rank = int(weights.setting("attention.kv_lora_rank"))
        self._rotation = Rotation(weights, self._rotated, windowed=False)
        growth = yarn_magnitude(
            float(weights.setting("rope.scaling.factor", 1.0)),
            10.0 * float(weights.setting("rope.scaling.yarn_log_multiplier", 0.0)),
        )
        self._scale = growth**2 * self._width**-0.5

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same, for tokens at positions from 0 on."""
        latent, shared_key = self._latents(state)
        queries = self._queries(state)
        mask = causal_mask(len(state), 0)
        keys, values = self._tensor("attn_k_b"), self._tensor("attn_v_b")
        results = []
        for head in range(self._heads):
            key = np.concatenate([latent @ keys[head], shared_key], axis=1)
            scores = queries[:, head] @ key.T * self._scale + mask
            results.append(softmax(scores) @ (latent @ values[head].T))
        projected: Array = np.concatenate(results, axis=1) @ self._tensor("attn_output").T
        return projected

    def _queries(self, state: Array) -> Array:
        """``[tokens, heads, width]``, rotated at the end."""
        if f"{self._prefix}attn_q_a" in self._weights:
            small = self._weights.normed(f"{self._prefix}attn_q_a_norm", state @ self._tensor("attn_q_a").T)
            queries = small @ self._tensor("attn_q_b").T
        else:
            queries = state @ self._tensor("attn_q").T
        queries = queries.reshape(len(state), self._heads, self._width)
        end = self._width - self._rotated
        return np.concatenate([queries[..., :end], self._rotation.rotate(queries[..., end:])], axis=2)

    def _latents(self, state: Array) -> tuple[Array, Array]:
        """Latents, and the rotated part of keys."""
        projected = state @ self._tensor("attn_kv_a_mqa").T
        latent = self._weights.normed(f"{self._prefix}attn_kv_a_norm", projected[:, : self._rank])
        shared_key = self._rotation.rotate(projected[:, None, self._rank :])[:, 0]
        return rounded_to(self._cache, latent), rounded_to(self._cache, shared_key)

    def _tensor(self, name: str) -> Array:
        return self._weights.tensor(self._prefix + name)
