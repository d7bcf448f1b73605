"""Functions that a decoder is made of, in float64, over the last axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def rms_norm(x: Array, weight: Array, epsilon: float) -> Array:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight)


def layer_norm(x: Array, weight: Array, bias: Array | None, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    normed = rms_norm(centred, weight, epsilon)
    return normed if bias is None else normed + bias


def softmax(x: Array) -> Array:
    raised = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def steep_silu(x: Array) -> Array:
    """SiLU of a steeper slope, near GELU."""
    return x * sigmoid(1.702 * x)


def gelu(x: Array) -> Array:
    """GELU by its approximation with the hyperbolic tangent."""
    return np.asarray(0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))))


def squared_relu(x: Array) -> Array:
    return np.square(np.maximum(x, 0.0))


def soft_cap(x: Array, cap: float) -> Array:
    """Within (-cap, cap); 0 caps nothing."""
    return np.asarray(cap * np.tanh(x / cap)) if cap else x
