"""Weights quantized a second, beside llama.cpp's quantizer: both make the same bytes of the same file, in turns.

    .venv/bin/python -m benchmarks.quantize MODEL.gguf --threads 2

The page cache is warm; a turn is one whole file, written and then removed. Weights are those of tensors whose type
changes. Needs ``make peers``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.llama_cpp import peers_folder
from engine import _core

RECIPES = ("q8_0", "q6_k", "q4_k_m")
ROUNDS = 5

_PEER = """
import sys, time
import llama_cpp
source, target, recipe, threads = sys.argv[1:]
silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(silent, None)
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + recipe.upper())
parameters.allow_requantize = True
parameters.nthread = int(threads)
began = time.perf_counter()
failed = llama_cpp.llama_model_quantize(source.encode(), target.encode(), parameters)
print(time.perf_counter() - began)
sys.exit(failed)
"""


def changed_weights(file: _core.GgufFile, quantization: _core.ModelQuantization) -> int:
    """Weights of the tensors that are not copied."""
    types = quantization.tensor_types()
    weights = 0
    for tensor in file.tensors():
        if types[tensor.name] == tensor.type:
            continue
        count = 1
        for size in tensor.shape:
            count *= size
        weights += count
    return weights


def engine_seconds(source: Path, target: Path, recipe: str, table: str, threads: int) -> float:
    quantization = _core.ModelQuantization(_core.GgufFile(str(source)), recipe, kernel_table=table, threads=threads)
    began = time.perf_counter()
    quantization.run(str(target))
    return time.perf_counter() - began


def peer_seconds(source: Path, target: Path, recipe: str, threads: int) -> float:
    python = peers_folder() / "avx2" / "bin" / "python"
    command: list[str | Path] = [python, "-c", _PEER, source, target, recipe, str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(source: Path, recipe: str, tables: Sequence[str], threads: int, folder: Path) -> None:
    """Prints a line: medians in millions of weights a second, and how often llama.cpp's each table's is."""
    file = _core.GgufFile(str(source))
    planned = _core.ModelQuantization(file, recipe, kernel_table=tables[0], threads=threads)
    weights = changed_weights(file, planned)
    seconds: dict[str, list[float]] = {name: [] for name in ("llama.cpp", *tables)}
    for _ in range(ROUNDS):
        for name, measured in seconds.items():
            target = folder / "target.gguf"
            if name == "llama.cpp":
                measured.append(peer_seconds(source, target, recipe, threads))
            else:
                measured.append(engine_seconds(source, target, recipe, name, threads))
            target.unlink()
    speeds = {name: weights / statistics.median(measured) / 1e6 for name, measured in seconds.items()}
    figures = "  ".join(f"{name} {speed:.0f} ({speed / speeds['llama.cpp']:.1f}x)" for name, speed in speeds.items())
    print(f"{recipe}: millions of weights a second, median of {ROUNDS}: {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    usable = [name for name, lacking in _core.kernel_tables().items() if not lacking]
    tables = [name for name in ("cpu_avx512", "cpu_avx2") if name in usable]
    print(f"{arguments.model.name}, {arguments.threads} threads, {_core.cpu_model()}")
    with tempfile.TemporaryDirectory() as folder:
        for recipe in RECIPES:
            compare(arguments.model, recipe, tables, arguments.threads, Path(folder))


if __name__ == "__main__":
    main()
