"""Vectors of texts as llama.cpp pools them, read back; and how far others are from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.golden.prompts import SMOLLM2

FOLDER = Path(__file__).parent
POOLINGS: Final = ("mean", "cls", "last")
PROMPTS: Final = ("capital", "portuguese", "python", "emoji", "unicode", "digits", "one_letter", "log_300")
"""Names in ``prompts.SMOLLM2``."""
LENGTHS: Final = (1, 7, 40, 150)
"""Lengths of the tiny models' prompts, in tokens."""

TINY_CONTEXT: Final = 256
"""Context of the tiny models, also in llama.cpp: some compute differently in a longer one."""

Vectors = npt.NDArray[np.float32]  # [texts, dimension], not normalized


def real_texts() -> list[str]:
    return [SMOLLM2[name] for name in PROMPTS]


def token_texts(vocabulary_size: int) -> list[list[int]]:
    random = np.random.default_rng(23)
    return [[int(token) for token in random.integers(0, vocabulary_size, length)] for length in LENGTHS]


def compared(options: Mapping[str, Any]) -> list[int]:
    """Which token prompts are read alike. Where a tiny model has long and short factors, llama.cpp chooses by its
    context for all texts, the engine by each text's length.
    """
    original = options.get("keys", {}).get("rope.scaling.original_context_length", TINY_CONTEXT)
    if "rope_factors_long" not in options.get("rope_factors", ()) or original >= TINY_CONTEXT:
        return list(range(len(LENGTHS)))
    return [index for index, length in enumerate(LENGTHS) if length > original]


def encoder_poolings(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Poolings of a model that reads texts whole: scores where it has a classifier, else vectors."""
    return ("rank",) if options.get("classifier") else POOLINGS


def read_head() -> dict[str, Any]:
    head: dict[str, Any] = json.loads((FOLDER / "embeddings.json").read_text(encoding="utf-8"))
    return head


def read_vectors(name: str, pooling: str) -> Vectors:
    """``name``: a tiny model's; ``smollm2`` is the file as it is, ``smollm2_f32`` its weights in F32."""
    with np.load(FOLDER / "embeddings.npz") as arrays:
        return np.asarray(arrays[f"{name}.{pooling}"])


def cosine_distances(vectors: Vectors, expected: Vectors) -> npt.NDArray[np.float64]:
    """[texts] 1 - cosine, of halved differences of unit vectors: exact to its last digits where they are alike."""
    a, b = (each.astype(np.float64) for each in (vectors, expected))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    return np.asarray(np.square(a - b).sum(axis=1) / 2)


def largest_difference(vectors: Vectors, expected: Vectors) -> float:
    """Largest difference, in standard deviations of the expected numbers."""
    return float(np.abs(vectors - expected).max() / expected.std())
