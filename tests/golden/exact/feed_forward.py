"""The second half of a layer: a gated feed-forward (Shazeer 2020), or the few of many that a router gives a token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.golden.exact.formulas import Array, sigmoid, softmax
from tests.golden.exact.traits import TRAITS
from tests.golden.exact.weights import Weights


@dataclass(frozen=True)
class Routing:
    """Choice of experts for each token."""

    experts: npt.NDArray[np.int64]
    """``[tokens, used]``, the most probable first; the lower index wins a tie."""
    shares: Array
    """What part each has in the result, ``[tokens, used]``."""
    lead: Array
    """Relative lead of the last expert that is used over the first that is not, ``[tokens]``."""


class GatedFeedForward:
    def __init__(self, weights: Weights, prefix: str, suffix: str = "") -> None:
        def read(part: str) -> tuple[Array, Array | float]:
            name = f"{prefix}{part}{suffix}"
            bias = weights.tensor_or_none(f"{name}.bias")
            return weights.tensor(name), 0.0 if bias is None else bias

        self._activation = TRAITS[weights.architecture].activation
        self._gate = read("ffn_gate") if f"{prefix}ffn_gate{suffix}" in weights else None
        self._up, self._down = read("ffn_up"), read("ffn_down")

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same."""
        up = _project(state, *self._up)
        if self._gate is None:  # it lies above the ups in their matrix
            gate, up = np.split(up, 2, axis=1)
        else:
            gate = _project(state, *self._gate)
        return _project(self._activation(gate) * up, *self._down)


class Experts:
    """A layer's experts, and the one that all tokens share, if there is one."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        traits = TRAITS[weights.architecture]
        self._activation, self._normalized = traits.activation, traits.normalized_experts
        self._router = weights.tensor(f"{prefix}ffn_gate_inp")
        self._used = int(weights.setting("expert_used_count"))
        parts = (weights.tensor(f"{prefix}ffn_{part}_exps") for part in ("gate", "up", "down"))
        self._experts = list(zip(*parts, strict=True))
        self._share = weights.tensor_or_none(f"{prefix}ffn_gate_inp_shexp")
        self._shared = None if self._share is None else GatedFeedForward(weights, prefix, "_shexp")

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same."""
        routing = self.route(state)
        result = np.zeros_like(state)
        for number, (gate, up, down) in enumerate(self._experts):
            tokens, places = np.nonzero(routing.experts == number)
            inner = self._activation(state[tokens] @ gate.T) * (state[tokens] @ up.T)
            result[tokens] += inner @ down.T * routing.shares[tokens, places, None]
        if self._shared is not None and self._share is not None:
            result += sigmoid(state @ self._share.reshape(-1, 1)) * self._shared.forward(state)
        return result

    def route(self, state: Array) -> Routing:
        """Routing of tokens with these states, ``[tokens, embedding]``."""
        probabilities = softmax(state @ self._router.T)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        shares = ranked[:, : self._used]
        last, next_one = ranked[:, self._used - 1], ranked[:, self._used]
        if self._normalized:
            shares = shares / shares.sum(axis=1, keepdims=True)
        return Routing(order[:, : self._used], shares, (last - next_one) / last)


def _project(state: Array, weight: Array, bias: Array | float) -> Array:
    projected: Array = state @ weight.T + bias
    return projected
