"""Weights quantized a second, beside llama.cpp's quantizer: both make the same file's tensors, in turns.

    .venv/bin/python -m benchmarks.quantize MODEL.gguf... [--recipes R...] [--importance] [--rounds N] [--json FILE]

The page cache is warm; a turn is one whole file, written and then removed. Weights are those of tensors whose type
changes. After the first turn the tensors of both files are compared, byte for byte. Needs ``make peers``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.support.llama_cpp import peers_folder
from benchmarks.support.report import Figure
from engine import _core
from tests.golden.quantized_data import tensor_digests
from tests.support.quantized_models import importance_for

LEAST_RATIOS = {"q8_0": 3.0, "q6_k": 3.0, "q4_k_m": 5.0, "iq4_xs": 3.0, "q3_k_m": 3.0}
RECIPES = tuple(LEAST_RATIOS)
PEER = "llama.cpp"

# Run in the repository's root by the peer's own Python.
_PEER = """
import sys, time
from pathlib import Path
import llama_cpp, numpy
from tests.golden.make_quantized import quantize_model
source, target, recipe, threads, importance = sys.argv[1:]
silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(silent, None)
values = dict(numpy.load(importance)) if importance else None
began = time.perf_counter()
quantize_model(Path(source), Path(target), recipe, values, int(threads))
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Work:
    source: Path
    recipe: str
    threads: int
    folder: Path
    """Folder for the files that are made; needs as much room as the source."""
    importance: Mapping[str, npt.NDArray[np.float32]] | None

    @property
    def name(self) -> str:
        return f"{self.source.stem}, {self.recipe}{' with importance' if self.importance else ''}"

    def quantization(self, table: str) -> _core.ModelQuantization:
        file = _core.GgufFile(str(self.source))
        return _core.ModelQuantization(
            file, self.recipe, importance=self.importance, kernel_table=table, threads=self.threads
        )

    def changed_weights(self) -> int:
        """Weights of the tensors that are not copied."""
        types = self.quantization("reference").tensor_types()
        tensors = _core.GgufFile(str(self.source)).tensors()
        return sum(math.prod(tensor.shape) for tensor in tensors if types[tensor.name] != tensor.type)

    def engine_seconds(self, table: str, target: Path) -> float:
        quantization = self.quantization(table)
        began = time.perf_counter()
        quantization.run(str(target))
        return time.perf_counter() - began

    def peer_seconds(self, target: Path) -> float:
        values = ""
        if self.importance is not None:
            values = str(self.folder / "importance.npz")
            np.savez(values, **self.importance)  # type: ignore[arg-type]
        python = peers_folder() / "avx2" / "bin" / "python"
        command: list[str | Path] = [python, "-c", _PEER, self.source, target, self.recipe, str(self.threads), values]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@dataclass(frozen=True)
class Comparison:
    name: str
    weights: int
    seconds: Mapping[str, Sequence[float]]
    """Seconds of each quantizer by its name: llama.cpp, then the kernel tables."""
    load_average: float
    """Load average of the machine over the last minute."""

    def speed(self, who: str) -> Figure:
        samples = [self.weights / seconds / 1e6 for seconds in self.seconds[who]]
        return Figure(f"{self.name}: {who}", "M weights/s", samples)

    def ratio(self, table: str) -> Figure:
        """Turn by turn."""
        pairs = zip(self.seconds[PEER], self.seconds[table], strict=True)
        recipe = next(recipe for recipe in RECIPES if recipe in self.name.split(", ")[1])
        return Figure(f"{self.name}: {table} / {PEER}", "x", [a / b for a, b in pairs], at_least=LEAST_RATIOS[recipe])

    def __str__(self) -> str:
        peer = statistics.median(self.speed(PEER).samples)
        ours = "  ".join(
            f"{table} {self.speed(table).median:.0f} ({self.ratio(table).median:.1f}x)"
            for table in self.seconds
            if table != PEER
        )
        turns = len(self.seconds[PEER])
        load = f"load average {self.load_average:.1f}"
        return f"{self.name}: M weights/s, median of {turns}: {PEER} {peer:.0f}  {ours}; same bytes; {load}"

    def as_json(self) -> dict[str, Any]:
        tables = [who for who in self.seconds if who != PEER]
        return {
            "name": self.name,
            "weights": self.weights,
            "same_bytes": True,
            "load_average": self.load_average,
            "speeds": [self.speed(who).as_json() for who in self.seconds],
            "ratios": [self.ratio(table).as_json() for table in tables],
        }


def compare(work: Work, tables: Sequence[str], rounds: int) -> Comparison:
    """Raises RuntimeError where the two make other bytes."""
    seconds: dict[str, list[float]] = {name: [] for name in (PEER, *tables)}
    digests: dict[str, dict[str, str]] = {}
    target = work.folder / "target.gguf"
    for turn in range(rounds):
        for name, measured in seconds.items():
            measured.append(work.peer_seconds(target) if name == PEER else work.engine_seconds(name, target))
            if turn == 0:
                digests[name] = tensor_digests(target)
            target.unlink()
    if any(list(digests[table].items()) != list(digests[PEER].items()) for table in tables):
        raise RuntimeError(f"{work.name}: the files differ")
    return Comparison(work.name, work.changed_weights(), seconds, os.getloadavg()[0])


def comparisons(arguments: argparse.Namespace, folder: Path) -> Iterator[Comparison]:
    usable = [name for name, lacking in _core.kernel_tables().items() if not lacking]
    tables = [name for name in ("cpu_avx512", "cpu_avx2") if name in usable]
    for model in arguments.models:
        for recipe in arguments.recipes:
            for importance in (None, importance_for(model)) if arguments.importance else (None,):
                yield compare(Work(model, recipe, arguments.threads, folder, importance), tables, arguments.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--importance", action="store_true", help="also with an importance of every column")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files are made, else a temporary folder")
    parser.add_argument("--json", type=Path, help="write all samples here")
    arguments = parser.parse_args()
    print(f"{arguments.threads} threads, {_core.cpu_model()}", flush=True)
    made = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for comparison in comparisons(arguments, Path(folder)):
            print(comparison, flush=True)
            made.append(comparison.as_json())
    if arguments.json:
        machine = {"cpu": _core.cpu_model(), "threads": arguments.threads}
        arguments.json.write_text(json.dumps({"machine": machine, "comparisons": made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
