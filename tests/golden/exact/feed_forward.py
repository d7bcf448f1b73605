"""The second half of a layer: a feed-forward, mostly gated (Shazeer 2020), or the few of many that a router gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.golden.exact.formulas import Array, sigmoid, softmax
from tests.golden.exact.traits import TRAITS, Traits
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


class FeedForward:
    def __init__(self, weights: Weights, prefix: str, suffix: str = "") -> None:
        def read(part: str) -> tuple[Array, Array | float]:
            return _read(weights, f"{prefix}{part}{suffix}")

        traits = TRAITS[weights.architecture]
        self._traits = traits
        self._gate = read("ffn_gate") if f"{prefix}ffn_gate{suffix}" in weights else None
        self._up, self._down = read("ffn_up"), read("ffn_down")

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same."""
        up = _project(state, *self._up)
        if not self._traits.gated:
            return _project(self._traits.activation(up), *self._down)
        if self._gate is None:  # it lies above the ups in their matrix
            gate, up = np.split(up, 2, axis=1)
        else:
            gate = _project(state, *self._gate)
        return _project(_joined(self._traits, gate, up), *self._down)


class Experts:
    """A layer's experts, and the one that all tokens share, if there is one."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        traits = TRAITS[weights.architecture]
        self._traits = traits
        self._normalized = traits.normalized_experts or bool(weights.setting("expert_weights_norm", False))
        named = {1: "softmax", 2: "sigmoid"}[int(weights.setting("expert_gating_func", 1))]
        routing = named if traits.routing == "from file" else traits.routing
        self._score = softmax if routing == "softmax" else sigmoid
        self._groups = int(weights.setting("expert_group_count", 1))
        self._groups_used = int(weights.setting("expert_group_used_count", 1))
        self._scale = float(weights.setting("expert_weights_scale", 1.0))
        self._router = _read(weights, f"{prefix}ffn_gate_inp")
        self._choice_bias = weights.tensor_or_none(f"{prefix}exp_probs_b.bias")
        self._used = int(weights.setting("expert_used_count"))
        parts = [_read(weights, f"{prefix}ffn_{part}_exps") for part in ("gate", "up", "down")]
        self._experts = [[(part[i], bias[i] if isinstance(bias, np.ndarray) else bias) for part, bias in parts]
                         for i in range(len(parts[0][0]))]  # fmt: skip
        self._share = weights.tensor_or_none(f"{prefix}ffn_gate_inp_shexp")
        self._shared = FeedForward(weights, prefix, "_shexp") if f"{prefix}ffn_up_shexp" in weights else None

    def forward(self, state: Array) -> Array:
        """``[tokens, embedding]`` to the same."""
        routing = self.route(state)
        result = np.zeros_like(state)
        for number, (gate, up, down) in enumerate(self._experts):
            tokens, places = np.nonzero(routing.experts == number)
            inner = _joined(self._traits, _project(state[tokens], *gate), _project(state[tokens], *up))
            result[tokens] += _project(inner, *down) * routing.shares[tokens, places, None]
        if self._shared is not None:
            share = 1.0 if self._share is None else sigmoid(state @ self._share.reshape(-1, 1))
            result += share * self._shared.forward(state)
        return result

    def _in_best_groups(self, rated: Array) -> Array:
        """Nothing is left of ratings outside the groups whose two best have the largest sums (DeepSeek-V3, 2024)."""
        groups = rated.reshape(len(rated), self._groups, -1)
        sums = np.sort(groups, axis=2)[..., -2:].sum(axis=2)
        best = np.argsort(-sums, axis=1, kind="stable")[:, : self._groups_used]
        kept = np.full_like(groups, -np.inf)
        tokens = np.arange(len(rated))[:, None]
        kept[tokens, best] = groups[tokens, best]
        return kept.reshape(rated.shape)

    def route(self, state: Array) -> Routing:
        """Routing of tokens with these states, ``[tokens, embedding]``."""
        scores = self._score(_project(state, *self._router))
        rated = scores if self._choice_bias is None else scores + self._choice_bias
        if self._groups > 1:
            rated = self._in_best_groups(rated)
        order = np.argsort(-rated, axis=1, kind="stable")
        shares = np.take_along_axis(scores, order, axis=1)[:, : self._used]
        ranked = np.take_along_axis(rated, order, axis=1)
        last, next_one = ranked[:, self._used - 1], ranked[:, self._used]
        if self._normalized:
            shares = shares / shares.sum(axis=1, keepdims=True)
        return Routing(order[:, : self._used], shares * self._scale, (last - next_one) / np.abs(last))


def _read(weights: Weights, name: str) -> tuple[Array, Array | float]:
    """A projection's weight and bias."""
    bias = weights.tensor_or_none(f"{name}.bias")
    return weights.tensor(name), 0.0 if bias is None else bias


def _joined(traits: Traits, gate: Array, up: Array) -> Array:
    if traits.clamp:
        gate, up = np.minimum(gate, traits.clamp), np.clip(up, -traits.clamp, traits.clamp) + 1.0
    return traits.activation(gate) * up


def _project(state: Array, weight: Array, bias: Array | float) -> Array:
    projected: Array = state @ weight.T + bias
    return projected
