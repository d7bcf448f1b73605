"""Prefill and decoding with every tensor type beside llama.cpp: a small model of random weights, all of the one type.

python -m benchmarks.type_speed [--types TYPE...] [--turns N] [--json FILE]

Each kernel path takes turns with the build of llama.cpp for its instructions (``make peers``), on the same file with
the same two threads. Writes a table in Markdown; the ratio is the median of the turns' ratios.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf

from benchmarks.peers import BUILDS, THREADS, Comparison, Turn
from benchmarks.support.disturbance import Disturbance
from benchmarks.support.llama_cpp import LlamaCpp
from benchmarks.support.speed_model import SpeedModel, write_speed_model
from engine import _core
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode, prefill
from engine.identity.version import ENGINE_VERSION
from tests.support.blocks import TENSOR_TYPES

TYPES = tuple(name for name in TENSOR_TYPES if name != "F32")
WORKS = (prefill(128), decode(32))
_WARM_UP = decode(4)
_HEADS = (
    "type", "bits", "kernel path",
    *(f"{work.name}: {column}" for work in WORKS for column in ("ours, tokens/s", "llama.cpp", "ratio")),
    "used by others",
)  # fmt: skip

Pair = tuple[Comparison, MeasuredLoop, LlamaCpp]


def compare(type_name: str, path: Path, turns: int) -> list[Comparison]:
    """Every work on every kernel path that runs here and has its build of llama.cpp, in turns.

    Raises:
        FileNotFoundError: no build of llama.cpp is there.
    """
    with ExitStack() as stack:
        pairs = _pairs(stack, type_name, path)
        for _ in range(turns):
            for comparison, ours, theirs in pairs:
                disturbance, work = Disturbance(), comparison.work
                comparison.turns.append(Turn(ours.rate(work), theirs.rate(work), disturbance.share()))
                comparison.peer_setting = theirs.setting(work)
        return [comparison for comparison, _, _ in pairs]


def _pairs(stack: ExitStack, type_name: str, path: Path) -> list[Pair]:
    pairs: list[Pair] = []
    missing: FileNotFoundError | None = None
    for backend, build in BUILDS.items():
        if _core.kernel_tables()[backend]:
            continue
        try:
            theirs = LlamaCpp(build, path, THREADS, flash=("on",))
        except FileNotFoundError as error:
            missing = error
            continue
        ours = stack.enter_context(MeasuredLoop(path, backend, THREADS))
        ours.rate(_WARM_UP)
        pairs += [(Comparison(type_name, backend, theirs.name, work, None), ours, theirs) for work in WORKS]
    if missing and not pairs:
        raise missing
    return pairs


def rows_of(comparisons: Sequence[Comparison]) -> Iterable[str]:
    """The table's rows: one for each type and kernel path."""
    for begin in range(0, len(comparisons), len(WORKS)):
        works = comparisons[begin : begin + len(WORKS)]
        cells = [works[0].subject, f"{bits_of(works[0].subject):g}", f"{works[0].backend}, {works[0].peer}"]
        for each in works:
            cells += [f"{each.rates(side).median:,.0f}" for side in ("ours", "theirs")]
            cells.append(f"{each.ratio.median:.2f} ({min(each.ratio.samples):.2f} to {max(each.ratio.samples):.2f})")
        cells.append(f"{max(turn.used_by_others for each in works for turn in each.turns):.0%}")
        yield _row(cells)


def bits_of(type_name: str) -> float:
    """Bits of a weight in a file."""
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]]
    return 8 * size / elements


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _head(model: SpeedModel, turns: int) -> str:
    weights = f"{model.layers} layers of {model.layer_weights / model.layers / 1e6:.0f} million weights"
    setting = f"{_core.cpu_model()}, {THREADS} threads, engine {ENGINE_VERSION}; {weights}, medians of {turns} turns."
    return f"{setting}\n\n{_row(_HEADS)}{'|---' * len(_HEADS)}|\n"


def _result(model: SpeedModel, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    shape = {name: value for name, value in asdict(model).items() if name != "tensor_type"}
    machine = {"cpu": _core.cpu_model(), "threads": THREADS, "engine_version": ENGINE_VERSION}
    return {"machine": machine, "model": shape, "comparisons": [each.as_json() for each in comparisons]}


def measure(types: Sequence[str], turns: int, json_path: Path | None, **shape: int) -> None:
    """Measure the types, write each one's rows as soon as they are known, and keep all samples in a file."""
    comparisons: list[Comparison] = []
    sys.stdout.write(_head(SpeedModel("F32", **shape), turns))
    for type_name in types:
        model = SpeedModel(type_name, **shape)
        with TemporaryDirectory() as folder:
            found = compare(type_name, write_speed_model(Path(folder) / f"{type_name}.gguf", model), turns)
        comparisons += found
        sys.stdout.writelines(rows_of(found))
        sys.stdout.flush()
        if json_path is not None:
            json_path.write_text(json.dumps(_result(model, comparisons), indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.type_speed", description=__doc__)
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES, metavar="TYPE", help="all but F32")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all samples here")
    arguments = parser.parse_args()
    measure(arguments.types, arguments.turns, arguments.json)


if __name__ == "__main__":
    main()
