"""A model file to be quantized."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine import _core


def quantization(
    source: Path,
    recipe: str = "q4_k_m",
    *,
    importance: Mapping[str, npt.NDArray[np.float32]] | None = None,
    table: str = "reference",
    threads: int = 1,
) -> _core.ModelQuantization:
    file = _core.GgufFile(str(source))
    return _core.ModelQuantization(file, recipe, importance=importance, kernel_table=table, threads=threads)
