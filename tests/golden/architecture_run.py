"""The tiny models of all architectures along llama.cpp's paths: what it, the engine and exact arithmetic compute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import _core
from tests.golden.architecture_path import KEPT, Logits, forced_path
from tests.golden.exact.formulas import Array
from tests.golden.exact.model import ExactModel
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.real_models import fast_kernel_table

FOLDER = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((FOLDER / "architectures.json").read_text())["cases"]
F16_CACHE: dict[str, Any] = json.loads((FOLDER / "f16_cache.json").read_text())["cases"]
"""llama.cpp's distances from exact with a cache of F16."""
TIED = "llama_experts_wide"
"""The case in which two experts are tied to float32's last bits with a rounded cache."""


DEEP = 32
"""Layers beyond which what rounding changes grows with each."""


def growth_with_depth(case: str) -> float:
    """Factor of bounds on what rounding changes."""
    return max(1.0, float(ALL_CASES[case].get("n_layer", 4)) / DEEP)


@dataclass(frozen=True)
class Run:
    """Logits along llama.cpp's path, ``[kept positions, vocabulary]``."""

    peer: Logits
    """llama.cpp's logits with an F32 cache."""
    ours: Logits
    exact: Array
    rounded: Array
    """Exact but for keys and values, which are rounded to F16."""


@cache
def run(case: str) -> Run:
    tokens = path_of(case)
    with TemporaryDirectory() as folder:
        path = write_architecture_model(Path(folder) / "model.gguf", **ALL_CASES[case])
        ours = engine_logits(path, tokens)[list(KEPT)]
        return Run(
            peer_logits(case), ours, exact_logits(path, tokens, KEPT), exact_logits(path, tokens, KEPT, np.float16)
        )


def peer_logits(case: str) -> Logits:
    with np.load(FOLDER / "architectures.npz") as arrays:
        return np.asarray(arrays[case])


def path_of(case: str) -> list[int]:
    """The prompt and llama.cpp's continuation."""
    return forced_path(peer_logits(case).shape[1], GOLDEN[case]["steps"])


def engine_logits(path: Path, tokens: Sequence[int]) -> Logits:
    """The engine's logits after each token; all kernel tables give the same."""
    (logits,) = _core.Model.load(str(path), fast_kernel_table(), 1).logits([tokens])
    return logits


def exact_logits(
    path: Path, tokens: Sequence[int], positions: Sequence[int], kv_cache: npt.DTypeLike = np.float64
) -> Array:
    return ExactModel(path, kv_cache).logits([tokens], [positions])[0]
