"""What an architecture's files leave unsaid.

The rest they say themselves: norms, biases, fused matrices and experts are there where their tensors are, factors and
caps where their keys are. Not provided for are the 27B models of Gemma 2 and 3, whose scores have a scale of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.golden.exact.formulas import Array, gelu, silu


@dataclass(frozen=True)
class Traits:
    pairs: Literal["neighbours", "halves"] = "halves"
    """Which dimensions of a head turn together: 2i and 2i + 1, or i and i + half of them."""
    activation: Callable[[Array], Array] = silu
    scaled_embedding: bool = False
    """Whether embeddings are scaled by the square root of their width."""
    full_every: int = 0
    """Every such layer attends to all positions, the others to a window; 0: a window in the file is void."""
    window_angles: Literal["same", "unscaled", "own base"] = "same"
    """Angles in layers with a window: those of the other layers, the same without scaling, or of base 10,000."""
    unrotated_every: int = 0
    """Every such layer does not rotate; 0: all do."""
    rotated_if_finetuned: bool = False
    normalized_experts: bool = False
    """The weights of the experts that a token uses are made to add up to 1."""


TRAITS = {
    "llama": Traits(pairs="neighbours", normalized_experts=True),
    "mistral3": Traits(pairs="neighbours", normalized_experts=True),
    "smollm3": Traits(pairs="neighbours", unrotated_every=4),
    "granite": Traits(pairs="neighbours", rotated_if_finetuned=True),
    "qwen2": Traits(),
    "qwen3": Traits(),
    "qwen2moe": Traits(),
    "qwen3moe": Traits(normalized_experts=True),
    "olmo2": Traits(full_every=4, window_angles="unscaled"),
    "olmoe": Traits(),
    "phi3": Traits(),
    "gemma": Traits(activation=gelu, scaled_embedding=True),
    "gemma2": Traits(activation=gelu, scaled_embedding=True, full_every=2),
    "gemma3": Traits(activation=gelu, scaled_embedding=True, full_every=6, window_angles="own base"),
}
"""Traits by ``general.architecture``."""
