"""What an architecture's files leave unsaid.

The rest they say themselves: norms, biases, fused matrices and experts are there where their tensors are, factors and
caps where their keys are. Not provided for are the 27B models of Gemma 2 and 3, whose scores have a scale of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.golden.exact.formulas import Array, gelu, silu, squared_relu, steep_silu

NEVER = 1 << 30
"""More layers than any model has."""


@dataclass(frozen=True)
class Traits:
    pairs: Literal["neighbours", "halves"] = "halves"
    """Which dimensions of a head turn together: 2i and 2i + 1, or i and i + half of them."""
    activation: Callable[[Array], Array] = silu
    gated: bool = True
    """Whether the feed-forward multiplies two projections (Shazeer 2020), or applies its activation to the only one."""
    clamp: float = 0.0
    """Bound on gates from above and on ups from both sides, to which one is added then; 0: none of this."""
    parallel: bool = False
    """Whether attention and feed-forward read the same state, and both are added to it."""
    second_norm: str = "ffn_norm"
    """The name in files of the norm of what the feed-forward reads."""
    output_norm: str = "output_norm"
    """The name in files of the norm of what the head reads."""
    norm_after_rotation: bool = False
    """Whether heads are rotated and then normalized."""
    logits_are_multiplied: bool = False
    """Whether logits are multiplied by the scale in the file, or divided."""
    scaled_embedding: bool = False
    """Whether embeddings are scaled by the square root of their width."""
    full_every: int = 0
    """Every such layer attends to all positions, the others to a window; 0: a window in the file is void."""
    full_from_layers: int = 0
    """Models of fewer layers have no windows."""
    window_angles: Literal["same", "unscaled", "own base"] = "same"
    """Angles in layers with a window: those of the other layers, the same without scaling, or of base 10,000."""
    scores_grow: bool = False
    """Whether YaRN's growth is in the scores of attention instead of the angles' cosines and sines."""
    unrotated_every: int = 0
    """Every such layer does not rotate; 0: all do."""
    rotated_windows: bool = False
    """Whether layers with a window rotate alone, where there are some."""
    rotated: bool = True
    rotated_if_finetuned: bool = False
    routing: Literal["softmax", "sigmoid", "from file"] = "softmax"
    """What makes weights of a router's outputs; that of the largest outputs alone is the same as normalizing."""
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
    "qwen2vl": Traits(),
    "qwen3vl": Traits(),
    "qwen3vlmoe": Traits(normalized_experts=True),
    "olmo2": Traits(full_every=4, window_angles="unscaled"),
    "olmoe": Traits(),
    "phi3": Traits(),
    "arcee": Traits(pairs="neighbours", activation=squared_relu, gated=False),
    "exaone4": Traits(full_every=4, full_from_layers=64, rotated_windows=True),
    "glm4": Traits(pairs="neighbours"),
    "glm4moe": Traits(second_norm="post_attention_norm", routing="sigmoid"),
    "ernie4_5": Traits(pairs="neighbours"),
    "ernie4_5-moe": Traits(pairs="neighbours", normalized_experts=True),
    "hunyuan-dense": Traits(norm_after_rotation=True),
    "seed_oss": Traits(second_norm="post_attention_norm"),
    "deepseek2": Traits(pairs="neighbours", routing="from file", scores_grow=True),
    "command-r": Traits(pairs="neighbours", parallel=True, logits_are_multiplied=True),
    "cohere2": Traits(
        pairs="neighbours", parallel=True, logits_are_multiplied=True, full_every=4, rotated_windows=True
    ),
    "gpt-oss": Traits(
        activation=steep_silu, clamp=7.0, full_every=2, second_norm="post_attention_norm", normalized_experts=True
    ),
    "lfm2": Traits(full_every=NEVER, output_norm="token_embd_norm"),
    "lfm2moe": Traits(routing="sigmoid", normalized_experts=True, output_norm="token_embd_norm"),
    "granitemoe": Traits(pairs="neighbours", normalized_experts=True),
    "starcoder2": Traits(activation=gelu, gated=False),
    "gpt2": Traits(activation=gelu, gated=False, rotated=False),
    "phi2": Traits(activation=gelu, gated=False, parallel=True),
    "gemma": Traits(activation=gelu, scaled_embedding=True),
    "gemma2": Traits(activation=gelu, scaled_embedding=True, full_every=2),
    "gemma3": Traits(activation=gelu, scaled_embedding=True, full_every=6, window_angles="own base"),
}
"""Traits by ``general.architecture``."""
