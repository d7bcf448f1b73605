"""Copies of a GGUF in other quantizations, made by llama.cpp and kept for the next run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.support.llama_cpp import peers_folder

_QUANTIZE = """
import sys
import llama_cpp
source, target, file_type = sys.argv[1:]
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + file_type)
parameters.allow_requantize = True
parameters.nthread = 2
sys.exit(llama_cpp.llama_model_quantize(source.encode(), target.encode(), parameters))
"""


def quantized_copy(source: Path, file_type: str) -> Path:
    """``source`` with its tensors in ``file_type`` (``Q8_0``, ``Q6_K``, ``Q4_K_M``), in the user's cache folder."""
    folder = peers_folder().parent / "quantized"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{source.stem}-{source.stat().st_size}-{file_type}.gguf"
    if not target.exists():
        partial = target.with_suffix(".partial")
        python = peers_folder() / "avx2" / "bin" / "python"
        run = subprocess.run(
            [python, "-c", _QUANTIZE, source, partial, file_type], capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise RuntimeError(f"{source.name} could not be quantized to {file_type}: {run.stderr[-2000:]}")
        partial.rename(target)
    return target
