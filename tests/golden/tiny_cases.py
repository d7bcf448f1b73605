"""The tiny random models of the golden data, and the token ids they are fed. Changing one means making the data anew
(``python -m tests.golden.make_tiny``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

PLAIN: dict[str, dict[str, Any]] = {
    "llama_tied": {"architecture": "llama", "seed": 1},
    "llama_untied": {"architecture": "llama", "tied": False, "seed": 2},
    "llama_every_head_its_own_kv": {"architecture": "llama", "n_head": 4, "n_head_kv": 4, "n_layer": 3, "seed": 3},
    "llama_odd_widths": {
        "architecture": "llama", "n_embd": 96, "n_head": 6, "n_head_kv": 2, "n_ff": 160, "vocabulary": "spm",
        "pre": "default", "seed": 4,
    },
    "llama_rope_factors": {
        "architecture": "llama", "n_embd": 128, "n_head": 4, "n_head_kv": 1, "rope_freqs": True,
        "rope_freq_base": 500000.0, "pre": "llama-bpe", "seed": 5,
    },
    "qwen2_tied": {"architecture": "qwen2", "pre": "qwen2", "rope_freq_base": 1000000.0, "seed": 6},
    "qwen2_untied": {
        "architecture": "qwen2", "pre": "qwen2", "tied": False, "n_embd": 192, "n_head": 6, "n_head_kv": 2,
        "n_ff": 256, "seed": 7,
    },
}  # fmt: skip
"""F32 weights: compared with llama.cpp's logits."""

_TYPES = (
    "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K",
    "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4",
)  # fmt: skip

_GRID_TYPES = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0")
"""One architecture each: their kernels are those of the types above."""
_BOTH = (("llama", True), ("qwen2", False))

QUANTIZED: dict[str, dict[str, Any]] = {
    f"{architecture}_{tensor_type.lower()}": {
        "architecture": architecture, "n_embd": 256, "n_head": 8, "n_head_kv": 2, "n_ff": 512, "tied": tied,
        "tensor_type": tensor_type, "seed": seed,
    }
    for seed, tensor_type in enumerate((*_TYPES, *_GRID_TYPES), 100)
    for architecture, tied in (_BOTH if tensor_type in _TYPES else _BOTH[:1])
}  # fmt: skip
"""Every stored type: the distance from exact arithmetic compared with llama.cpp's."""

OF_GRIDS = {f"llama_{tensor_type.lower()}" for tensor_type in _GRID_TYPES}

PROMPT_LENGTHS = (1, 6, 33, 150)
KEPT_POSITIONS = 33
"""Number of a prompt's last positions that are compared."""


def token_prompts(vocabulary_size: int) -> list[list[int]]:
    random = np.random.default_rng(7)
    return [[int(token) for token in random.integers(0, vocabulary_size, length)] for length in PROMPT_LENGTHS]


def kept(prompts: Sequence[Sequence[int]]) -> list[range]:
    """The positions of each prompt that are compared."""
    return [range(max(0, len(prompt) - KEPT_POSITIONS), len(prompt)) for prompt in prompts]


def weights_digest(path: Path) -> str:
    """SHA-256 of a GGUF's tensors: their names, types and bytes, whatever its metadata looks like."""
    digest = hashlib.sha256()
    for tensor in gguf.GGUFReader(path).tensors:
        digest.update(f"{tensor.name} {tensor.tensor_type.name}\n".encode())
        digest.update(tensor.data.tobytes())
    return digest.hexdigest()
