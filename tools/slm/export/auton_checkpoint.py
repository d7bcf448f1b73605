"""Checkpoints of AUTON's own training: the same layers, but for positions, which turn halves of a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError

from slm.configuration import Architecture
from slm.errors import SlmError
from slm.transformer import Transformer

_EPSILON = 1e-6
_TIED = "lm_head.weight"
_READ = frozenset(
    {
        "hidden_size", "num_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size",
        "max_position_embeddings", "rope_theta",
    }
)  # fmt: skip
"""Keys of its configuration; its dropouts do nothing once it is trained."""


def is_auton_checkpoint(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is AUTON's: weights and configuration under its names."""
    match content:
        case {"model": dict(), "config": {"hidden_size": int()}}:
            return True
    return False


def read_auton_checkpoint(content: Mapping[str, Any]) -> Transformer:
    """The same model here. Raises SlmError: its shape is none that this model can have, or weights are missing."""
    found = content["config"]
    if found.get("activation", "swiglu") != "swiglu":
        raise SlmError(f"the model's activation is {found['activation']}; models here have swiglu")
    try:
        known = {key: value for key, value in found.items() if key in _READ}
        architecture = Architecture(norm_epsilon=_EPSILON, **known)
    except ValidationError as error:
        raise SlmError(f"the model's configuration: {error.errors()[0]['msg']}") from error
    transformer = Transformer(architecture)
    weights = {name: _interleaved(name, tensor, architecture) for name, tensor in content["model"].items()}
    head = weights.pop(_TIED, None)
    if head is not None and not torch.equal(head, weights["embed_tokens.weight"]):
        raise SlmError(f"{_TIED} is not the embedding; models here have one matrix for both")
    try:
        transformer.load_state_dict(weights)
    except RuntimeError as error:
        raise SlmError(f"the model's weights do not fit its configuration: {error}") from error
    return transformer


def _interleaved(name: str, weight: torch.Tensor, architecture: Architecture) -> torch.Tensor:
    """Rows of queries and keys in the order in which pairs are neighbours, and not half a head apart."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return weight
    by_half = weight.unflatten(0, (-1, 2, architecture.head_dim // 2))
    return by_half.transpose(1, 2).flatten(0, 2)
