"""A tiny random model of every architecture, and of every setting that changes what one computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

from tests.support.gguf_factory import add_matrix, new_gguf
from tests.support.gguf_vocabulary import add_vocabulary, tiny_bpe


@dataclass(frozen=True)
class ArchitectureModel:
    """What to write; the parts of a decoder that an architecture has, with the names that its files give them."""

    architecture: str
    n_layer: int = 4
    n_embd: int = 96
    n_head: int = 4
    n_head_kv: int = 2
    head_dim: int | None = None
    """None: ``n_embd`` shared out among the heads."""
    n_ff: int = 160
    context_length: int = 256
    tied: bool = False
    input_norms: bool = True
    output_norms: bool = False
    head_norm: Literal["", "head", "whole"] = ""
    biases: tuple[str, ...] = ()
    """Projections with a bias, by the names of their tensors in a layer."""
    fused: bool = False
    """Queries, keys and values in one matrix, gates and ups in another."""
    experts: int = 0
    experts_used: int = 2
    expert_ff: int = 0
    shared_ff: int = 0
    rope_factors: tuple[str, ...] = ()
    """Tensors of divisors of the angles."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the architecture beyond the common ones."""
    tensor_type: str = "F32"
    seed: int = 0

    @property
    def head_width(self) -> int:
        return self.head_dim or self.n_embd // self.n_head


SOFT_CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
YARN = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64,
}  # fmt: skip
GRANITE = {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.125, "logit_scale": 2.0}
LONGROPE = {
    "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 1.1,
}  # fmt: skip
_QKV = ("attn_q", "attn_k", "attn_v")
_PHI3: dict[str, Any] = {
    "architecture": "phi3", "fused": True, "rope_factors": ("rope_factors_long", "rope_factors_short"),
}  # fmt: skip
_GEMMA: dict[str, Any] = {"n_head": 2, "n_head_kv": 1, "head_dim": 64, "tied": True}
_GEMMA2: dict[str, Any] = {
    **_GEMMA, "architecture": "gemma2", "output_norms": True, "keys": {"attention.sliding_window": 24, **SOFT_CAPS},
}  # fmt: skip
_GEMMA3: dict[str, Any] = {
    **_GEMMA, "architecture": "gemma3", "output_norms": True, "head_norm": "head", "n_layer": 7,
    "keys": {"attention.sliding_window": 20, "rope.freq_base": 1000000.0},
}  # fmt: skip
_MOE: dict[str, Any] = {"experts": 6, "experts_used": 2, "expert_ff": 64}

CASES: dict[str, dict[str, Any]] = {
    "llama": {"architecture": "llama"},
    "llama_linear": {"architecture": "llama", "keys": {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}},
    "llama_unnamed_scaling": {"architecture": "llama", "keys": {"rope.scaling.factor": 2.0}},
    "llama_yarn": {"architecture": "llama", "keys": YARN},
    "llama_biases": {
        "architecture": "llama", "biases": (*_QKV, "attn_output", "ffn_gate", "ffn_up", "ffn_down"),
    },
    "llama_experts": {"architecture": "llama", **_MOE, "n_ff": 64},
    "mistral3": {"architecture": "mistral3"},
    "mistral3_temperature": {
        "architecture": "mistral3",
        "keys": {**YARN, "rope.scaling.yarn_log_multiplier": 1.0, "rope.scaling.yarn_beta_fast": 8.0,
                 "rope.scaling.original_context_length": 16, "attention.temperature_scale": 0.1},
    },
    "smollm3": {"architecture": "smollm3", "n_layer": 5},
    "qwen2": {"architecture": "qwen2", "biases": _QKV},
    "qwen3": {"architecture": "qwen3", "head_norm": "head", "head_dim": 32},
    "qwen3_yarn": {"architecture": "qwen3", "head_norm": "head", "keys": YARN},
    "granite": {"architecture": "granite", "keys": GRANITE},
    "granite_unrotated": {"architecture": "granite", "keys": {**GRANITE, "rope.scaling.finetuned": False}},
    "olmo2": {"architecture": "olmo2", "input_norms": False, "output_norms": True, "head_norm": "whole"},
    "olmo2_windows": {
        "architecture": "olmo2", "input_norms": False, "output_norms": True, "head_norm": "whole",
        "n_head_kv": 4, "keys": {**YARN, "attention.sliding_window": 17},
    },
    "phi3": {"architecture": "phi3", "fused": True},
    "phi3_long": {**_PHI3, "keys": LONGROPE},
    "phi3_short": {**_PHI3, "keys": {**LONGROPE, "rope.scaling.original_context_length": 256}},
    "phi3_partly_rotated": {"architecture": "phi3", "fused": True, "keys": {"rope.dimension_count": 16}},
    "gemma": {**_GEMMA, "architecture": "gemma"},
    "gemma2": _GEMMA2,
    "gemma3": _GEMMA3,
    "gemma3_linear": {
        **_GEMMA3, "keys": {**_GEMMA3["keys"], "rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
    },
    "qwen2moe": {
        "architecture": "qwen2moe", "biases": _QKV, **_MOE, "shared_ff": 96, "seed": 1,
        "keys": {"expert_feed_forward_length": 64, "expert_shared_feed_forward_length": 96},
    },
    "qwen3moe": {
        "architecture": "qwen3moe", "head_norm": "head", **_MOE, "keys": {"expert_feed_forward_length": 64},
    },
    "olmoe": {
        "architecture": "olmoe", "head_norm": "whole", "n_head_kv": 4, **_MOE, "experts_used": 3, "n_ff": 64,
    },
}  # fmt: skip
"""Models with widths that are multiples of 32 and not of 256."""

_WIDE: dict[str, Any] = {"n_embd": 256, "n_ff": 512, "head_dim": None}
WIDE_CASES: dict[str, dict[str, Any]] = {
    f"{name}_wide": {**CASES[name], **_WIDE}
    for name in ("llama", "qwen2", "qwen3", "smollm3", "granite", "olmo2", "phi3", "gemma", "gemma2", "gemma3")
} | {
    "llama_experts_wide": {**CASES["llama_experts"], "n_embd": 256, "n_ff": 256, "expert_ff": 256},
    "mistral3_wide": {**CASES["mistral3"], **_WIDE},
    "olmoe_wide": {**CASES["olmoe"], "n_embd": 256, "n_ff": 256, "expert_ff": 256},
    "qwen2moe_wide": {
        **CASES["qwen2moe"], "n_embd": 256, "expert_ff": 256, "shared_ff": 512,
        "keys": {"expert_feed_forward_length": 256, "expert_shared_feed_forward_length": 512},
    },
    "qwen3moe_wide": {
        **CASES["qwen3moe"], "n_embd": 256, "expert_ff": 256, "keys": {"expert_feed_forward_length": 256},
    },
}  # fmt: skip
"""Widths that are multiples of 256, as K types need them."""

ALL_CASES = CASES | WIDE_CASES


NEARLY_TIED: dict[str, Any] = {**CASES["qwen2moe"], "seed": 0}
"""A model with nearly tied experts: in the third layer, at the prompt's 26th token, the last that is used leads the
first that is not by so little that rounding keys and values to F16 makes them change places.
"""


def write_architecture_model(path: Path, **options: Any) -> Path:
    """Write ``ArchitectureModel(**options)`` to ``path``; equal options give equal bytes."""
    model = ArchitectureModel(**options)
    vocabulary = tiny_bpe()
    with new_gguf(path, model.architecture) as writer:
        _add_keys(writer, model)
        writer.add_vocab_size(len(vocabulary))
        add_vocabulary(writer, vocabulary, "smollm")
        _Tensors(writer, model).add(len(vocabulary))
    return path


def _add_keys(writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
    writer.add_block_count(model.n_layer)
    writer.add_context_length(model.context_length)
    writer.add_embedding_length(model.n_embd)
    writer.add_feed_forward_length(model.n_ff)
    writer.add_head_count(model.n_head)
    writer.add_head_count_kv(model.n_head_kv)
    writer.add_key_length(model.head_width)
    writer.add_value_length(model.head_width)
    writer.add_layer_norm_rms_eps(1e-5)
    if model.experts:
        writer.add_expert_count(model.experts)
        writer.add_expert_used_count(model.experts_used)
    for name, value in {"rope.dimension_count": model.head_width, **model.keys}.items():
        key = f"{model.architecture}.{name}"
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case str():
                writer.add_string(key, value)
            case _:
                writer.add_array(key, value)


class _Tensors:
    def __init__(self, writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
        self._writer = writer
        self._model = model
        self._random = np.random.default_rng(model.seed)

    def add(self, vocab_size: int) -> None:
        model = self._model
        self._matrix("token_embd", (vocab_size, model.n_embd))
        rope_pairs = int(model.keys.get("rope.dimension_count", model.head_width)) // 2
        for number, name in enumerate(model.rope_factors, 1):
            ramp = np.geomspace(1.0, 2.0 * number, rope_pairs)
            self._writer.add_tensor(f"{name}.weight", ramp.astype(np.float32))
        for layer in range(model.n_layer):
            self._block(f"blk.{layer}.")
        self._norm("output_norm", model.n_embd)
        if not model.tied:
            self._matrix("output", (vocab_size, model.n_embd))

    def _block(self, prefix: str) -> None:
        model = self._model
        query, kv = model.n_head * model.head_width, model.n_head_kv * model.head_width
        if model.input_norms:
            self._norm(f"{prefix}attn_norm", model.n_embd)
            self._norm(f"{prefix}ffn_norm", model.n_embd)
        if model.output_norms:
            self._norm(f"{prefix}post_attention_norm", model.n_embd)
            self._norm(f"{prefix}post_ffw_norm", model.n_embd)
        if model.head_norm:
            whole = model.head_norm == "whole"
            self._norm(f"{prefix}attn_q_norm", query if whole else model.head_width)
            self._norm(f"{prefix}attn_k_norm", kv if whole else model.head_width)
        if model.fused:
            self._projection(prefix, "attn_qkv", query + 2 * kv, model.n_embd)
        else:
            for name, rows in (("attn_q", query), ("attn_k", kv), ("attn_v", kv)):
                self._projection(prefix, name, rows, model.n_embd)
        self._projection(prefix, "attn_output", model.n_embd, query)
        self._feed_forward(prefix)

    def _feed_forward(self, prefix: str) -> None:
        model = self._model
        if not model.experts:
            self._dense(prefix, "", model.n_ff)
            return
        router = self._random.normal(0.0, 2.0 * model.n_embd**-0.5, (model.experts, model.n_embd))
        self._writer.add_tensor(f"{prefix}ffn_gate_inp.weight", router.astype(np.float32))
        for name in ("ffn_gate_exps", "ffn_up_exps"):
            self._matrix(f"{prefix}{name}", (model.experts, model.expert_ff, model.n_embd))
        self._matrix(f"{prefix}ffn_down_exps", (model.experts, model.n_embd, model.expert_ff))
        if model.shared_ff:
            share = self._random.normal(0.0, model.n_embd**-0.5, model.n_embd)
            self._writer.add_tensor(f"{prefix}ffn_gate_inp_shexp.weight", share.astype(np.float32))
            self._dense(prefix, "_shexp", model.shared_ff)

    def _dense(self, prefix: str, suffix: str, width: int) -> None:
        embedding = self._model.n_embd
        if self._model.fused:
            self._projection(prefix, f"ffn_up{suffix}", 2 * width, embedding)
        else:
            self._projection(prefix, f"ffn_gate{suffix}", width, embedding)
            self._projection(prefix, f"ffn_up{suffix}", width, embedding)
        self._projection(prefix, f"ffn_down{suffix}", embedding, width)

    def _projection(self, prefix: str, name: str, rows: int, columns: int) -> None:
        self._matrix(f"{prefix}{name}", (rows, columns))
        if name in self._model.biases:
            bias = self._random.normal(0.0, 0.1, rows)
            self._writer.add_tensor(f"{prefix}{name}.bias", bias.astype(np.float32))

    def _norm(self, name: str, width: int) -> None:
        self._writer.add_tensor(f"{name}.weight", self._random.normal(1.0, 0.1, width).astype(np.float32))

    def _matrix(self, name: str, shape: tuple[int, ...]) -> None:
        add_matrix(self._writer, self._random, f"{name}.weight", self._model.tensor_type, shape)
