"""What quantized.json is about: the cases, and how bytes are told apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from tests.support.quantizer_rows import IMPORTANCE_KINDS, QUANTIZED_TYPES, ROW_KINDS

FOLDER = Path(__file__).parent
REAL_MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "stories": "stories15M-f32.gguf"}
REAL_IMPORTANCE = (FOLDER / "importance" / "stories.gguf", FOLDER / "importance" / "stories.dat")
"""Written by llama-imatrix: 8 chunks of 128 tokens of wiki.test.raw, with ``--process-output``."""
RECIPES = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "q3_k_m")
ARCHITECTURES = (
    "deepseek2_wide", "gpt-oss_wide", "glm4moe_wide", "granitemoe_shared", "lfm2_wide", "lfm2moe_wide", "phi3_wide",
    "gpt2_wide",
)  # fmt: skip
"""Models of ``architecture_models`` with what llama's have not: latent heads, experts and dense layers side by side,
recurrent layers, fused matrices, vectors of positions.
"""
FULL_SIZE_RECIPES = {"qwen2.5_0.5b_bf16": ("q4_k_m",), "llama_3.2_1b_f16": ("q4_k_m", "q6_k")}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RowCase:
    type: str
    kind: str
    importance: str | None
    rows: int = 6
    columns: int = 2304
    seed: int = 11

    @property
    def name(self) -> str:
        return f"{self.type} {self.kind} {self.importance}"


def row_cases() -> list[RowCase]:
    return [
        RowCase(type_name, kind, importance)
        for type_name in QUANTIZED_TYPES
        for kind in ROW_KINDS
        for importance in (None, *IMPORTANCE_KINDS)
    ]


def row_digest(blocks: bytes) -> str:
    """64 bits of the SHA-256."""
    return hashlib.sha256(blocks).hexdigest()[:16]


def tensor_digests(path: Path) -> dict[str, str]:
    """``TYPE digest`` of every tensor, in the order of the file."""
    return {
        tensor.name: f"{tensor.tensor_type.name} {row_digest(tensor.data.tobytes())}"
        for tensor in gguf.GGUFReader(path).tensors
    }


def read_quantized(name: str = "quantized") -> dict[str, Any]:
    """``quantized`` or ``full_size_quantized``."""
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return data
