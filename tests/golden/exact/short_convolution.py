"""The short convolution of LFM2 (Liquid AI, 2025): of each channel, over a token and the few before it, gated on both
sides.
"""

from __future__ import annotations

import numpy as np

from tests.golden.exact.formulas import Array
from tests.golden.exact.weights import Weights


class ShortConvolution:
    def __init__(self, weights: Weights, layer: int) -> None:
        prefix = f"blk.{layer}.shortconv."
        self._input = weights.tensor(f"{prefix}in_proj")
        self._kernel = weights.tensor(f"{prefix}conv")
        self._output = weights.tensor(f"{prefix}out_proj")

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same, for tokens at positions from 0 on."""
        before, after, value = np.split(state @ self._input.T, 3, axis=1)
        mixed = after * causal_convolution(before * value, self._kernel)
        return np.asarray(mixed @ self._output.T)


def causal_convolution(signal: Array, kernel: Array) -> Array:
    """Each channel of ``[tokens, channels]`` with its own of ``kernel`` ``[channels, taps]``, the newest token last."""
    taps = kernel.shape[1]
    padded = np.concatenate([np.zeros((taps - 1, signal.shape[1])), signal])
    seen = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=0)  # [tokens, channels, taps]
    return np.asarray(np.einsum("tck,ck->tc", seen, kernel))
