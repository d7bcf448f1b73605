"""What of a model a plan is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from protocol.model_ref import ModelRef
from protocol.plan import KvCacheType

StepBytes = Callable[[int, int, int], int]
"""Bytes that a step needs beside its rows, by threads, rows of one sequence, and positions that these reach."""


def _nothing(threads: int, rows: int, positions: int) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """All that a plan is made of."""

    ref: ModelRef
    context_length: int
    """Trained."""
    weights_bytes: Mapping[str, int]
    """Bytes by kernel table: each packs the weights in its own way."""
    decode_weights_bytes: Mapping[str, int]
    """The part of these that is read for a token generated alone."""
    kv_bytes_per_token: Mapping[KvCacheType, int]
    """Bytes by KV cache type; types that do not fit the model's heads are left out."""
    head_dim: int
    """Channels of a KV head."""
    activation_row_bytes: Mapping[str, int]
    """Buffers of a step for one of its rows, by kernel table: some read inputs in a form of their own besides."""
    logits_row_bytes: int
    shared_step_bytes: StepBytes = field(default=_nothing, kw_only=True)
    macs_per_prompt_token: int
    """Multiply-accumulates of the layers' matrices."""
    macs_of_head: int
    vocab_size: int
    eos_token_ids: tuple[int, ...]
    window: int = 0
    """Positions that layers with a window attend to, those of the widest one; 0 where none has a window."""
    windowed_kv_bytes_per_token: Mapping[KvCacheType, int] = field(default_factory=dict)
    """The part of :attr:`kv_bytes_per_token` that layers with a window take."""
    recurrent_bytes: int = 0
    """Bytes that a sequence keeps in layers without keys and values, however long it is; 0 where all have some."""
    requantized_from: tuple[str, ...] = ()
    """Quantized types in the file that the quantization asked for quantizes again; sorted."""
