"""Writer of a tiny random model of any architecture: the parts of a decoder that it has, under their names in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

from tests.support.gguf_factory import RandomTensors, add_shape, new_gguf
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
    norm_epsilon: float = 1e-5
    input_norms: bool = True
    output_norms: bool = False
    head_norm: Literal["", "head", "own", "whole"] = ""
    layer_norm: bool = False
    norm_biases: bool = False
    second_norm: str = "ffn_norm"
    """Norm before the feed-forward; empty where it reads what attention does."""
    gated: bool = True
    positions: bool = False
    """Whether each position has a vector."""
    sinks: bool = False
    biases: tuple[str, ...] = ()
    """Projections with a bias, by the names of their tensors in a layer."""
    fused: bool = False
    """Queries, keys and values in one matrix, gates and ups in another."""
    experts: int = 0
    experts_used: int = 2
    expert_ff: int = 0
    shared_ff: int = 0
    shared_gate: bool = True
    choice_bias: bool = False
    expert_biases: bool = False
    leading_dense: int = 0
    """Layers at the beginning without experts."""
    unused_layers: int = 0
    """Further layers that guess tokens further ahead."""
    latent_rank: int = 0
    """Width of what keys and values are projected from; 0: heads have their own."""
    query_rank: int = 0
    unrotated: int = 0
    value_width: int = 0
    head_biases: bool = False
    """Whether what heads project latents by has biases, which no such model has."""
    convolution_layers: tuple[int, ...] = ()
    """Layers with a short convolution in place of attention."""
    taps: int = 3
    """Positions that a convolution reads."""
    output_norm: str = "output_norm"
    rope_factors: tuple[str, ...] = ()
    """Tensors of divisors of the angles."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the architecture beyond the common ones."""
    tensor_type: str = "F32"
    seed: int = 0

    @property
    def head_width(self) -> int:
        return self.head_dim or self.n_embd // self.n_head

    @property
    def rotated(self) -> int:
        return int(self.keys.get("rope.dimension_count", self.head_width))


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


def _add_latent_keys(writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
    if model.latent_rank:
        writer.add_kv_lora_rank(model.latent_rank)
        writer.add_key_length_mla(model.unrotated + model.rotated)
        writer.add_value_length_mla(model.value_width)
        if model.query_rank:
            writer.add_q_lora_rank(model.query_rank)


def _add_kv_heads(writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
    if not model.convolution_layers:
        writer.add_head_count_kv(model.n_head_kv)
        return
    layers = range(model.n_layer)
    writer.add_head_count_kv([0 if layer in model.convolution_layers else model.n_head_kv for layer in layers])
    writer.add_shortconv_l_cache(model.taps)


def _add_expert_keys(writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
    if model.experts:
        writer.add_expert_count(model.experts)
        writer.add_expert_used_count(model.experts_used)
    if model.leading_dense:
        writer.add_leading_dense_block_count(model.leading_dense)
    if model.unused_layers:
        writer.add_nextn_predict_layers(model.unused_layers)


def _add_keys(writer: gguf.GGUFWriter, model: ArchitectureModel) -> None:
    layers = model.n_layer + model.unused_layers
    add_shape(writer, layers, model.context_length, model.n_embd, model.n_ff, model.n_head)
    _add_kv_heads(writer, model)
    writer.add_key_length(model.head_width)
    writer.add_value_length(model.latent_rank or model.head_width)
    _add_latent_keys(writer, model)
    if model.layer_norm:
        writer.add_layer_norm_eps(model.norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(model.norm_epsilon)
    _add_expert_keys(writer, model)
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


class _Tensors(RandomTensors[ArchitectureModel]):
    def add(self, vocab_size: int) -> None:
        model = self._model
        self.matrix("token_embd", vocab_size, model.n_embd)
        rope_pairs = model.rotated // 2
        for number, name in enumerate(model.rope_factors, 1):
            ramp = np.geomspace(1.0, 2.0 * number, rope_pairs)
            self._writer.add_tensor(f"{name}.weight", ramp.astype(np.float32))
        if model.positions:
            self.matrix("position_embd", model.context_length, model.n_embd)
        for layer in range(model.n_layer + model.unused_layers):
            self._block(layer)
        for layer in range(model.n_layer, model.n_layer + model.unused_layers):
            self.matrix(f"blk.{layer}.nextn.eh_proj", model.n_embd, 2 * model.n_embd)
            self._norm(f"blk.{layer}.nextn.enorm", model.n_embd)
            self._norm(f"blk.{layer}.nextn.hnorm", model.n_embd)
        self._norm(model.output_norm, model.n_embd)
        if not model.tied:
            self._projection("", "output", vocab_size, model.n_embd)

    def _block(self, layer: int) -> None:
        model, prefix = self._model, f"blk.{layer}."
        if model.input_norms:
            self._norm(f"{prefix}attn_norm", model.n_embd)
            if model.second_norm:
                self._norm(f"{prefix}{model.second_norm}", model.n_embd)
        if layer in model.convolution_layers:
            self._convolution(prefix)
        else:
            self._inner_norms(prefix)
            self._attention(prefix)
        if model.experts and layer >= model.leading_dense:
            self._experts(prefix)
        else:
            self._dense(prefix, "", model.n_ff)

    def _convolution(self, prefix: str) -> None:
        embedding = self._model.n_embd
        self.vector(f"{prefix}shortconv.conv.weight", 0.5, embedding, self._model.taps)
        self._projection(prefix, "shortconv.in_proj", 3 * embedding, embedding)
        self._projection(prefix, "shortconv.out_proj", embedding, embedding)

    def _attention(self, prefix: str) -> None:
        model = self._model
        query, kv = model.n_head * model.head_width, model.n_head_kv * model.head_width
        if model.latent_rank:
            self._latent_heads(prefix)
            query = model.n_head * model.value_width
        elif model.fused:
            self._projection(prefix, "attn_qkv", query + 2 * kv, model.n_embd)
        else:
            for name, rows in (("attn_q", query), ("attn_k", kv), ("attn_v", kv)):
                self._projection(prefix, name, rows, model.n_embd)
        self._projection(prefix, "attn_output", model.n_embd, query)
        if model.sinks:
            self.vector(f"{prefix}attn_sinks.weight", 1.0, model.n_head)

    def _inner_norms(self, prefix: str) -> None:
        model = self._model
        if model.output_norms:
            self._norm(f"{prefix}post_attention_norm", model.n_embd)
            self._norm(f"{prefix}post_ffw_norm", model.n_embd)
        if model.head_norm:
            whole = model.head_norm == "whole"
            for name, heads in (("attn_q_norm", model.n_head), ("attn_k_norm", model.n_head_kv)):
                shape = (heads, model.head_width) if model.head_norm == "own" else (model.head_width,)
                self._norm(f"{prefix}{name}", *((heads * model.head_width,) if whole else shape))

    def _latent_heads(self, prefix: str) -> None:
        model = self._model
        query = model.n_head * (model.unrotated + model.rotated)
        if model.query_rank:
            self._projection(prefix, "attn_q_a", model.query_rank, model.n_embd)
            self._norm(f"{prefix}attn_q_a_norm", model.query_rank)
        self._projection(prefix, "attn_q_b" if model.query_rank else "attn_q", query, model.query_rank or model.n_embd)
        self._projection(prefix, "attn_kv_a_mqa", model.latent_rank + model.rotated, model.n_embd)
        self._norm(f"{prefix}attn_kv_a_norm", model.latent_rank)
        self.matrix(f"{prefix}attn_k_b", model.n_head, model.latent_rank, model.unrotated)
        self.matrix(f"{prefix}attn_v_b", model.n_head, model.value_width, model.latent_rank)
        if model.head_biases:
            self.vector(f"{prefix}attn_k_b.bias", 0.1, model.n_head, model.latent_rank)
            self.vector(f"{prefix}attn_v_b.bias", 0.1, model.n_head, model.value_width)

    def _experts(self, prefix: str) -> None:
        model = self._model
        self.vector(f"{prefix}ffn_gate_inp.weight", 2.0 * model.n_embd**-0.5, model.experts, model.n_embd)
        if model.choice_bias:
            self.vector(f"{prefix}exp_probs_b.bias", 0.1, model.experts)
        if model.expert_biases:
            self.vector(f"{prefix}ffn_gate_inp.bias", 0.1, model.experts)
        for name in ("ffn_gate_exps", "ffn_up_exps"):
            self._expert_matrices(f"{prefix}{name}", model.expert_ff, model.n_embd)
        self._expert_matrices(f"{prefix}ffn_down_exps", model.n_embd, model.expert_ff)
        if model.shared_ff:
            if model.shared_gate:
                self.vector(f"{prefix}ffn_gate_inp_shexp.weight", model.n_embd**-0.5, model.n_embd)
            self._dense(prefix, "_shexp", model.shared_ff)

    def _expert_matrices(self, name: str, rows: int, columns: int) -> None:
        self.matrix(name, self._model.experts, rows, columns)
        if self._model.expert_biases:
            self.vector(f"{name}.bias", 0.1, self._model.experts, rows)

    def _dense(self, prefix: str, suffix: str, width: int) -> None:
        embedding = self._model.n_embd
        if not self._model.gated:
            self._projection(prefix, f"ffn_up{suffix}", width, embedding)
        elif self._model.fused:
            self._projection(prefix, f"ffn_up{suffix}", 2 * width, embedding)
        else:
            self._projection(prefix, f"ffn_gate{suffix}", width, embedding)
            self._projection(prefix, f"ffn_up{suffix}", width, embedding)
        self._projection(prefix, f"ffn_down{suffix}", embedding, width)

    def _projection(self, prefix: str, name: str, rows: int, columns: int) -> None:
        self.projection(f"{prefix}{name}", rows, columns, biased=name in self._model.biases)

    def _norm(self, name: str, *shape: int) -> None:
        self.norm(name, *shape, biased=self._model.norm_biases)
