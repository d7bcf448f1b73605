"""Tiny models of fixed weights, made in memory: what a self-test runs through the whole decoder."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_ALIGNMENT = 32
_UINT32, _FLOAT32, _STRING = 4, 6, 8
_F32 = 0
VOCABULARY = 96
_EXPERT_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class TinyDecoder:
    """What a model's file holds, by the names that its architecture gives."""

    architecture: str
    keys: Mapping[str, int | float] = field(default_factory=dict)
    """Beside those that every architecture has."""
    norms: tuple[str, ...] = ()
    """Norms of each layer over its channels, beside the two that all have."""
    head_norms: tuple[str, ...] = ()
    """Norms of each layer over one head's channels."""
    layers: int = 1
    channels: int = 64
    heads: int = 2
    head_channels: int = 32
    feed_forward: int = 96
    experts: int = 0
    """Experts of 32 channels each, in place of the feed-forward network; two of them are used."""

    def numbers(self) -> dict[str, int | float]:
        """The hyper-parameters by their metadata keys."""
        return {
            "block_count": self.layers,
            "context_length": 1024,
            "embedding_length": self.channels,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": 1,
            "attention.key_length": self.head_channels,
            "attention.value_length": self.head_channels,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.dimension_count": self.head_channels,
            "rope.freq_base": 10000.0,
            "vocab_size": VOCABULARY,
            **self.keys,
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, in the order of the file."""
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, self.channels)}
        for layer in range(self.layers):
            shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in self._layer().items()}
        return shapes | {"output_norm.weight": (self.channels,)}

    def _layer(self) -> dict[str, tuple[int, ...]]:
        channels, queries = self.channels, self.heads * self.head_channels
        shapes: dict[str, tuple[int, ...]] = {
            "attn_norm": (channels,),
            "attn_q": (queries, channels),
            "attn_k": (self.head_channels, channels),
            "attn_v": (self.head_channels, channels),
            "attn_output": (channels, queries),
            "ffn_norm": (channels,),
            **dict.fromkeys(self.norms, (channels,)),
            **dict.fromkeys(self.head_norms, (self.head_channels,)),
        }
        if self.experts:
            return shapes | {
                "ffn_gate_inp": (self.experts, channels),
                "ffn_gate_exps": (self.experts, _EXPERT_CHANNELS, channels),
                "ffn_up_exps": (self.experts, _EXPERT_CHANNELS, channels),
                "ffn_down_exps": (self.experts, channels, _EXPERT_CHANNELS),
            }
        return shapes | {
            "ffn_gate": (self.feed_forward, channels),
            "ffn_up": (self.feed_forward, channels),
            "ffn_down": (channels, self.feed_forward),
        }


LLAMA = TinyDecoder("llama")
GEMMA2 = TinyDecoder(
    "gemma2",
    {"attention.sliding_window": 12, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    norms=("post_attention_norm", "post_ffw_norm"),
    layers=2,  # one slides its window
)
QWEN3MOE = TinyDecoder(
    "qwen3moe",
    {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": _EXPERT_CHANNELS},
    head_norms=("attn_q_norm", "attn_k_norm"),
    experts=4,
)
NARROW = TinyDecoder("llama", channels=32, heads=1, head_channels=16, feed_forward=32)
"""For long texts."""


def fixed_floats(seed: int, *shape: int) -> Floats:
    """Multiples of 2^-23 in [-1, 1), the same on every machine: a mixing function of integers, and no rounding."""
    state = np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        state = (state ^ (state >> np.uint32(shift))) * np.uint32(factor)
    values: Floats = (state >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return values.reshape(shape)


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
    numbers = decoder.numbers()
    keys = _string("general.architecture") + struct.pack("<I", _STRING) + _string(name)
    for key, value in numbers.items():
        kind, layout = (_UINT32, "<I") if isinstance(value, int) else (_FLOAT32, "<f")
        keys += _string(f"{name}.{key}") + struct.pack("<I", kind) + struct.pack(layout, value)
    entries, data = b"", b""
    shapes = decoder.shapes()
    for seed, (tensor, shape) in enumerate(shapes.items(), start=1):
        entries += _string(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], _F32, len(data))
        data += _weights(seed, shape).tobytes()
        data += bytes(-len(data) % _ALIGNMENT)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(shapes), 1 + len(numbers)) + keys + entries
    return head + bytes(-len(head) % _ALIGNMENT) + data


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _weights(seed: int, shape: tuple[int, ...]) -> Floats:
    """Norms near 1, matrices that keep the size of what they multiply."""
    values = fixed_floats(seed, *shape)
    values *= np.float32(0.125 if len(shape) == 1 else 0.25)
    if len(shape) == 1:
        values += np.float32(1)
    return values
