"""Tiny models of fixed weights, made in memory: what a self-test runs through the whole decoder."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_ALIGNMENT = 32
_UINT32, _FLOAT32, _STRING = 4, 6, 8
_F32 = 0
VOCABULARY = 96


@dataclass(frozen=True, slots=True)
class TinyDecoder:
    """What the file of a model with 2 layers of 64 channels holds, as its architecture names it."""

    architecture: str
    keys: Mapping[str, int | float]
    """Beside those that every architecture has."""
    norms: tuple[str, ...] = ()
    """Of each layer, over ``norm_width`` channels, beside the two that all have."""
    head_norms: tuple[str, ...] = ()
    """Of each layer, over one head."""
    experts: int = 0


LLAMA = TinyDecoder("llama", {})
GEMMA2 = TinyDecoder(
    "gemma2",
    {"attention.sliding_window": 12, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    norms=("post_attention_norm", "post_ffw_norm"),
)
QWEN3MOE = TinyDecoder(
    "qwen3moe",
    {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32},
    head_norms=("attn_q_norm", "attn_k_norm"),
    experts=4,
)

_LAYERS, _EMBEDDING, _HEADS, _KV_HEADS, _HEAD, _FEED_FORWARD = 2, 64, 2, 1, 32, 96
_COMMON: Mapping[str, int | float] = {
    "block_count": _LAYERS,
    "context_length": 1024,
    "embedding_length": _EMBEDDING,
    "feed_forward_length": _FEED_FORWARD,
    "attention.head_count": _HEADS,
    "attention.head_count_kv": _KV_HEADS,
    "attention.key_length": _HEAD,
    "attention.value_length": _HEAD,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.dimension_count": _HEAD,
    "rope.freq_base": 10000.0,
    "vocab_size": VOCABULARY,
}


def fixed_floats(seed: int, *shape: int) -> Floats:
    """Multiples of 2^-23 in [-1, 1), the same on every machine: a mixing function of integers, and no rounding."""
    state = np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        state = (state ^ (state >> np.uint32(shift))) * np.uint32(factor)
    return ((state >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)).reshape(shape)


@contextmanager
def in_memory(decoder: TinyDecoder) -> Iterator[str]:
    """The path of the model's GGUF file, which is on no disk and gone afterwards."""
    descriptor = os.memfd_create(decoder.architecture)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(_gguf(decoder))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _gguf(decoder: TinyDecoder) -> bytes:
    name = decoder.architecture
    values = {f"{name}.{key}": value for key, value in {**_COMMON, **decoder.keys}.items()}
    keys = _string("general.architecture") + struct.pack("<I", _STRING) + _string(name)
    for key, value in values.items():
        kind, layout = (_UINT32, "<I") if isinstance(value, int) else (_FLOAT32, "<f")
        keys += _string(key) + struct.pack("<I", kind) + struct.pack(layout, value)
    tensors = _tensors(decoder)
    entries, data = b"", b""
    for name, values_of in tensors.items():
        shape = values_of.shape[::-1]
        entries += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, _F32, len(data))
        data += values_of.tobytes()
        data += bytes(-len(data) % _ALIGNMENT)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 1 + len(values)) + keys + entries
    return head + bytes(-len(head) % _ALIGNMENT) + data


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _tensors(decoder: TinyDecoder) -> dict[str, Floats]:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, _EMBEDDING)}
    for layer in range(_LAYERS):
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in _layer(decoder).items()}
    shapes["output_norm.weight"] = (_EMBEDDING,)
    return {name: _weights(seed, shape) for seed, (name, shape) in enumerate(shapes.items(), start=1)}


def _layer(decoder: TinyDecoder) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (_EMBEDDING,),
        "attn_q": (_HEADS * _HEAD, _EMBEDDING),
        "attn_k": (_KV_HEADS * _HEAD, _EMBEDDING),
        "attn_v": (_KV_HEADS * _HEAD, _EMBEDDING),
        "attn_output": (_EMBEDDING, _HEADS * _HEAD),
        "ffn_norm": (_EMBEDDING,),
        **dict.fromkeys(decoder.norms, (_EMBEDDING,)),
        **dict.fromkeys(decoder.head_norms, (_HEAD,)),
    }
    if decoder.experts:
        width = int(decoder.keys["expert_feed_forward_length"])
        return shapes | {
            "ffn_gate_inp": (decoder.experts, _EMBEDDING),
            "ffn_gate_exps": (decoder.experts, width, _EMBEDDING),
            "ffn_up_exps": (decoder.experts, width, _EMBEDDING),
            "ffn_down_exps": (decoder.experts, _EMBEDDING, width),
        }
    return shapes | {
        "ffn_gate": (_FEED_FORWARD, _EMBEDDING),
        "ffn_up": (_FEED_FORWARD, _EMBEDDING),
        "ffn_down": (_EMBEDDING, _FEED_FORWARD),
    }


def _weights(seed: int, shape: tuple[int, ...]) -> Floats:
    """Norms near 1, matrices that keep the size of what they multiply."""
    values = fixed_floats(seed, *shape)
    return values * np.float32(0.125) + np.float32(1) if len(shape) == 1 else values * np.float32(0.25)
