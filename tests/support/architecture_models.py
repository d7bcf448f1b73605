"""A tiny random model of every architecture, and of every setting that changes what one computes."""

from __future__ import annotations

from typing import Any

from tests.support.architecture_file import write_architecture_model

__all__ = ["ALL_CASES", "CASES", "DEEP_CASES", "NEARLY_TIED", "WIDE_CASES", "write_architecture_model"]

SOFT_CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
YARN = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 64,
}  # fmt: skip
GRANITE = {"embedding_scale": 3.0, "residual_scale": 0.5, "attention.scale": 0.125, "logit_scale": 2.0}
LONGROPE = {
    "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 1.1,
}  # fmt: skip
PICTURES = {"rope.dimension_sections": [6, 5, 5, 0]}
"""Angles by a picture's time, height and width."""
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
_DEEP: dict[str, Any] = {"n_layer": 64, "n_embd": 64, "n_head": 2, "n_head_kv": 1, "n_ff": 64}
"""As many layers as the largest model of a family has, by which it is known."""
_LATENT: dict[str, Any] = {
    "latent_rank": 64, "unrotated": 32, "value_width": 32, "n_head_kv": 1, "head_dim": 96,
}  # fmt: skip
_LATENT_KEYS = {"rope.dimension_count": 32, "expert_feed_forward_length": 64, "expert_shared_count": 1}
_UNGATED = ("attn_output", "ffn_up", "ffn_down")
_LFM2: dict[str, Any] = {
    "head_norm": "head", "n_layer": 5, "convolution_layers": (0, 1, 3), "output_norm": "token_embd_norm", "tied": True,
}  # fmt: skip
_COHERE: dict[str, Any] = {"layer_norm": True, "second_norm": "", "tied": True}

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
    # llama.cpp does not read this one's epsilon and takes 0 (of llama-cpp-python 0.3.36).
    "qwen2vl": {
        "architecture": "qwen2vl", "biases": _QKV, "keys": PICTURES, "norm_epsilon": 1e-12,
    },
    "qwen3vl": {
        "architecture": "qwen3vl", "head_norm": "head", "head_dim": 32, "keys": {**PICTURES, "n_deepstack_layers": 2},
    },
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
    "qwen3vlmoe": {
        "architecture": "qwen3vlmoe", "head_norm": "head", "head_dim": 32, **_MOE,
        "keys": {**PICTURES, "expert_feed_forward_length": 64, "n_deepstack_layers": 2},
    },
    "olmoe": {
        "architecture": "olmoe", "head_norm": "whole", "n_head_kv": 4, **_MOE, "experts_used": 3, "n_ff": 64,
    },
    "arcee": {"architecture": "arcee", "gated": False},
    "exaone4": {"architecture": "exaone4", "input_norms": False, "output_norms": True, "head_norm": "head"},
    "exaone4_windows": {
        "architecture": "exaone4", "input_norms": False, "output_norms": True, "head_norm": "head", **_DEEP,
        "keys": {"attention.sliding_window": 20},
    },
    "glm4": {
        "architecture": "glm4", "output_norms": True, "fused": True, "biases": ("attn_qkv",),
        "keys": {"rope.dimension_count": 12},
    },
    "glm4moe": {
        "architecture": "glm4moe", "biases": _QKV, "head_norm": "head", "second_norm": "post_attention_norm", **_MOE,
        "choice_bias": True, "shared_ff": 64, "shared_gate": False, "leading_dense": 1, "unused_layers": 1,
        "keys": {"rope.dimension_count": 12, "expert_feed_forward_length": 64, "expert_shared_count": 1,
                 "expert_weights_norm": True, "expert_weights_scale": 1.5, "expert_gating_func": 2},
    },
    "deepseek2": {
        "architecture": "deepseek2", **_LATENT, "query_rank": 64, **_MOE, "experts": 8, "seed": 6, "choice_bias": True,
        "shared_ff": 64, "shared_gate": False, "leading_dense": 1,
        "keys": {**_LATENT_KEYS, **YARN, "rope.scaling.yarn_log_multiplier": 0.0707, "expert_weights_norm": True,
                 "expert_weights_scale": 2.5, "expert_gating_func": 2, "expert_group_count": 4,
                 "expert_group_used_count": 2},
    },
    "deepseek2_lite": {
        "architecture": "deepseek2", **_LATENT, "n_layer": 26, **_MOE, "seed": 1, "shared_ff": 64, "shared_gate": False,
        "leading_dense": 1, "keys": _LATENT_KEYS,
    },
    "ernie4_5": {"architecture": "ernie4_5"},
    "ernie4_5-moe": {
        "architecture": "ernie4_5-moe", **_MOE, "choice_bias": True, "shared_ff": 96, "shared_gate": False,
        "leading_dense": 1,
        "keys": {"expert_feed_forward_length": 64, "expert_shared_feed_forward_length": 96,
                 "interleave_moe_layer_step": 1},
    },
    "hunyuan-dense": {"architecture": "hunyuan-dense", "head_norm": "head"},
    "seed_oss": {"architecture": "seed_oss", "biases": _QKV, "second_norm": "post_attention_norm"},
    "command-r": {"architecture": "command-r", **_COHERE, "keys": {"logit_scale": 0.25}},
    "command-r_plus": {
        "architecture": "command-r", **_COHERE, **_DEEP, "head_norm": "own", "seed": 1, "keys": {"logit_scale": 0.5},
    },
    "cohere2": {
        "architecture": "cohere2", **_COHERE, "n_layer": 5,
        "keys": {"logit_scale": 0.25, "attention.sliding_window": 20},
    },
    "gpt-oss": {
        "architecture": "gpt-oss", "biases": (*_QKV, "attn_output"), "second_norm": "post_attention_norm", **_MOE,
        "expert_biases": True, "sinks": True, "seed": 2,
        "keys": {**YARN, "expert_feed_forward_length": 64, "attention.sliding_window": 20},
    },
    "lfm2": {"architecture": "lfm2", **_LFM2},
    "lfm2_windows": {
        "architecture": "lfm2", **_LFM2, "taps": 4, "keys": {"attention.sliding_window": 20},
    },
    "lfm2moe": {
        "architecture": "lfm2moe", **_LFM2, **_MOE, "choice_bias": True, "leading_dense": 2,
        "keys": {"expert_feed_forward_length": 64, "expert_gating_func": 2},
    },
    "granitemoe": {"architecture": "granitemoe", **_MOE, "n_ff": 64, "keys": GRANITE},
    "granitemoe_shared": {
        "architecture": "granitemoe", **_MOE, "n_ff": 64, "shared_ff": 96, "shared_gate": False,
        "keys": {**GRANITE, "expert_shared_feed_forward_length": 96},
    },
    "starcoder2": {
        "architecture": "starcoder2", "layer_norm": True, "norm_biases": True, "gated": False,
        "biases": (*_QKV, *_UNGATED),
    },
    "gpt2": {
        "architecture": "gpt2", "layer_norm": True, "norm_biases": True, "gated": False, "fused": True,
        "positions": True, "n_head_kv": 4, "biases": ("attn_qkv", *_UNGATED),
    },
    "phi2": {
        "architecture": "phi2", "layer_norm": True, "norm_biases": True, "gated": False, "fused": True,
        "second_norm": "", "n_head_kv": 4, "biases": ("attn_qkv", "output", *_UNGATED),
        "keys": {"rope.dimension_count": 12},
    },
}  # fmt: skip
"""Models with widths that are multiples of 32 and not of 256."""

_WIDE: dict[str, Any] = {"n_embd": 256, "n_ff": 512, "head_dim": None}
WIDE_CASES: dict[str, dict[str, Any]] = {
    f"{name}_wide": {**CASES[name], **_WIDE}
    for name in (
        "llama", "qwen2", "qwen2vl", "qwen3", "qwen3vl", "smollm3", "granite", "olmo2", "phi3", "gemma", "gemma2",
        "gemma3", "arcee", "exaone4", "glm4", "ernie4_5", "hunyuan-dense", "seed_oss", "command-r", "cohere2",
        "starcoder2", "gpt2", "phi2", "lfm2",
    )
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
    "qwen3vlmoe_wide": {
        **CASES["qwen3vlmoe"], "n_embd": 256, "expert_ff": 256, "head_dim": None,
        "keys": {**CASES["qwen3vlmoe"]["keys"], "expert_feed_forward_length": 256},
    },
    "glm4moe_wide": {
        **CASES["glm4moe"], "n_embd": 256, "n_ff": 512, "expert_ff": 256, "shared_ff": 512, "head_norm": "",
        "keys": {**CASES["glm4moe"]["keys"], "expert_feed_forward_length": 256, "expert_shared_count": 2},
    },
    "ernie4_5-moe_wide": {
        **CASES["ernie4_5-moe"], "n_embd": 256, "n_ff": 512, "expert_ff": 256, "shared_ff": 512,
        "keys": {"expert_feed_forward_length": 256, "expert_shared_feed_forward_length": 512,
                 "interleave_moe_layer_step": 1},
    },
    "deepseek2_wide": {
        **CASES["deepseek2"], "n_embd": 256, "n_ff": 512, "expert_ff": 256, "shared_ff": 256,
        "latent_rank": 256, "query_rank": 256, "unrotated": 256, "value_width": 64, "head_dim": 288,
        "keys": {**CASES["deepseek2"]["keys"], "expert_feed_forward_length": 256},
    },
    "gpt-oss_wide": {
        **CASES["gpt-oss"], "n_embd": 256, "expert_ff": 256,
        "keys": {**CASES["gpt-oss"]["keys"], "expert_feed_forward_length": 256},
    },
    "lfm2moe_wide": {
        **CASES["lfm2moe"], "n_embd": 256, "n_ff": 512, "expert_ff": 256,
        "keys": {**CASES["lfm2moe"]["keys"], "expert_feed_forward_length": 256},
    },
    "granitemoe_wide": {**CASES["granitemoe"], "n_embd": 256, "n_ff": 256, "expert_ff": 256},
}  # fmt: skip
"""Widths that are multiples of 256, as K types need them."""

ALL_CASES = CASES | WIDE_CASES

DEEP_CASES = tuple(case for case, options in CASES.items() if options.get("n_layer", 0) > 20)
"""Models of many layers, which take as much longer."""


NEARLY_TIED: dict[str, Any] = {**CASES["qwen2moe"], "seed": 0}
"""A model with nearly tied experts: in the third layer, at the prompt's 26th token, the last that is used leads the
first that is not by so little that rounding keys and values to F16 makes them change places.
"""
