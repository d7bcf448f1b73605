"""Perplexity of a model in each quantization, its divergence from the model's own weights, and llama.cpp's perplexity.

    .venv/bin/python -m benchmarks.perplexity MODEL.gguf --text wiki.test.raw --json benchmarks/results/perplexity.json

Both read the same files with the same threads. Quantized files are made first, which no time includes; the times hold
everything else, from the model's file and the text to the figure, but the start of Python. A quantized model is run
beside the native one, which its divergence needs; llama.cpp's time is of one model. An entry of the results replaces
the one before of the same model, quantization and build. Needs ``make peers``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support.disturbance import Disturbance
from benchmarks.support.llama_cpp import peers_folder
from engine import _core
from engine.operations.text_quality import text_quality
from engine.text.tokenizer import Tokenizer
from protocol.quantization import RECIPES

NATIVE = "native"
BUILDS = {"avx2": "cpu_avx2", "avx512": "cpu_avx512"}
_RUNNING = re.compile(r"\[(\d+)\](\d+\.\d+),")
_FINAL = re.compile(r"Final estimate: PPL = (\S+) \+/- (\S+)")


@dataclass(frozen=True, slots=True)
class Setting:
    text: Path
    build: str
    """Build of llama.cpp, which also decides the kernel table to compare it with."""
    threads: int
    window: int
    windows: int | None
    """None: all there are."""
    peer_windows: int | None
    """None: as many; 0: llama.cpp is not run."""

    @property
    def table(self) -> str:
        return BUILDS[self.build]

    @property
    def first_scored(self) -> int:
        return self.window // 2


class _Prefixes:
    """Figures of the first windows of an evaluation."""

    def __init__(self, evaluation: _core.TextEvaluation, windows: int, setting: Setting) -> None:
        self.nll = evaluation.nll[: windows * (setting.window - 1 - setting.first_scored)]
        self.base_nll = self.divergence = self.same_best = None


def evaluate(path: Path, base: Path | None, setting: Setting) -> tuple[_core.TextEvaluation, dict[str, Any]]:
    """The evaluation of a text, and what is kept of it."""
    disturbance, began = Disturbance(), time.perf_counter()
    tokenizer = Tokenizer(_core.GgufFile(str(path)))
    # llama.cpp's programs read a text without the end of its last line.
    tokens = tokenizer.encode(setting.text.read_text(encoding="utf-8").removesuffix("\n"))
    bos = tokenizer.bos_token_id if tokenizer.adds_bos else None
    if setting.windows is not None:
        tokens = tokens[: setting.windows * setting.window]
    model = _core.Model.load(str(path), setting.table, setting.threads)
    native = _core.Model.load(str(base), setting.table, setting.threads) if base else None
    evaluation = _core.TextEvaluation(model, native, tokens, window=setting.window, threads=setting.threads, bos=bos)
    evaluation.run()
    quality = text_quality(evaluation)
    return evaluation, {
        "kernel_table": setting.table,
        "tokens": len(tokens),
        "windows": evaluation.progress()[0],
        "seconds": time.perf_counter() - began,
        "used_by_others": disturbance.share(),
        "quality": quality.model_dump(),
    }


def evaluate_peer(path: Path, windows: int, setting: Setting) -> dict[str, Any]:
    """Raises RuntimeError where llama.cpp fails."""
    program = peers_folder() / setting.build / "build" / "bin" / "llama-perplexity"
    command = [
        program, "-m", path, "-f", setting.text, "-c", setting.window, "--chunks", windows,
        "-t", setting.threads, "-tb", setting.threads,
    ]  # fmt: skip
    disturbance, began = Disturbance(), time.perf_counter()
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    output = run.stdout + run.stderr
    final = _FINAL.search(output)
    if run.returncode or final is None:
        raise RuntimeError(f"llama-perplexity ended with {run.returncode}: {output[-2000:]}")
    return {
        "build": setting.build,
        "windows": max(int(window) for window, _ in _RUNNING.findall(output)),
        "perplexity": float(final[1]),
        "perplexity_error": float(final[2]),
        "seconds": time.perf_counter() - began,
        "used_by_others": disturbance.share(),
    }


def measure(model: Path, recipe: str, setting: Setting, folder: Path) -> dict[str, Any]:
    path, base = model, None
    if recipe != NATIVE:
        path, base = folder / f"{recipe}.gguf", model
        _core.ModelQuantization(
            _core.GgufFile(str(model)), recipe, kernel_table=setting.table, threads=setting.threads
        ).run(str(path))
    evaluation, ours = evaluate(path, base, setting)
    entry = {"model": model.name, "recipe": recipe, "build": setting.build, "window": setting.window}
    entry |= {"threads": setting.threads, "ours": ours, "llama_cpp": None}
    windows = ours["windows"] if setting.peer_windows is None else min(setting.peer_windows, ours["windows"])
    if windows:
        peer = evaluate_peer(path, windows, setting)
        same = text_quality(_Prefixes(evaluation, peer["windows"], setting))
        entry["llama_cpp"] = peer | {"ours_on_the_same_windows": same.perplexity}
    return entry


def describe(entry: dict[str, Any]) -> str:
    ours, peer = entry["ours"], entry["llama_cpp"]
    quality = ours["quality"]
    line = (
        f"{entry['model']} {entry['recipe']}: {ours['windows']} windows of {entry['window']}, {ours['seconds']:.1f} s"
    )
    line += f", perplexity {quality['perplexity']:.4f} ± {quality['perplexity_error']:.4f}"
    if against := quality["against_base"]:
        line += f", KL {against['divergence_mean']:.5f} ± {against['divergence_error']:.5f}"
        line += f" (99 %: {against['divergence_p99']:.4f}), same best {against['same_best']:.4f}"
    if peer:
        same = peer["ours_on_the_same_windows"]
        line += f"; llama.cpp {peer['build']}: {peer['windows']} windows, {peer['seconds']:.1f} s, "
        line += f"{peer['perplexity']:.4f}, ours there {same:.4f} ({100 * (same / peer['perplexity'] - 1):+.3f} %)"
    return line


def keep(entry: dict[str, Any], results: Path) -> None:
    kept = json.loads(results.read_text())["evaluations"] if results.exists() else []
    names = ("model", "recipe", "build")
    others = [other for other in kept if any(other[name] != entry[name] for name in names)]
    machine = {"cpu": _core.cpu_model(), "engine_version": _core.__version__}
    results.write_text(json.dumps({"machine": machine, "evaluations": [*others, entry]}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=(NATIVE, *RECIPES), default=(NATIVE, "q8_0", "q6_k", "q4_k_m"))
    parser.add_argument("--build", choices=BUILDS, default="avx512")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--windows", type=int, help="number of first windows to read")
    parser.add_argument("--peer-windows", type=int, help="number of first windows in llama.cpp; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    setting = Setting(given.text, given.build, given.threads, given.window, given.windows, given.peer_windows)
    with tempfile.TemporaryDirectory() as folder:
        for recipe in given.recipes:
            entry = measure(given.model, recipe, setting, Path(folder))
            sys.stdout.write(describe(entry) + "\n")
            sys.stdout.flush()
            if given.json:
                keep(entry, given.json)


if __name__ == "__main__":
    main()
