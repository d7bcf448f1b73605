"""What is held of every architecture: the bits that its tests compare, and its memory by estimate and as measured.

python -m benchmarks.architectures [--only NAME]

Writes a table in Markdown. Memory is that of a random model of 30 narrow layers, or of an encoder of 12 wider ones,
with weights in F32: the plan's estimate over how much a process grows, the median of three.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.memory import estimated, growth_bytes, planner, sizes_of
from benchmarks.support.setting import setting
from engine.operations.text_reading import plan_reading
from protocol.prefill_request import PrefillRequest
from tests.support import encoder_models, held_bits
from tests.support.architecture_models import CASES, WIDE_CASES, write_architecture_model

CONTEXT = 1000
ROUNDS = 3
TEXTS, TEXT_TOKENS = 8, 500
_LAYERS = 30
_HEADS = ("architecture", "same bits in", "sequences side by side", "estimate", "over growth")
# The program of benchmarks.memory for texts that are read whole: [growth by reading them].
_READ = """
import json, os, sys
from pathlib import Path
from engine import _core
from engine.host.machine import peak_resident_bytes
path, backend, threads, count, tokens = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
model = _core.Model.load(path, backend, threads)
_core.TextEmbedding(model, [[5] * tokens] * count, pooling="mean", normalize=True, threads=threads).run()
print(json.dumps([peak_resident_bytes() - before]))
"""


def decoders() -> dict[str, dict[str, Any]]:
    """A model of each architecture that answers, by the architecture's name: as its wide one, with more layers."""
    found: dict[str, dict[str, Any]] = {}
    for options in WIDE_CASES.values():
        more: dict[str, Any] = {"n_layer": _LAYERS, "context_length": 4096, "tensor_type": "F32"}
        if "convolution_layers" in options:
            more["convolution_layers"] = tuple(layer for layer in range(_LAYERS) if layer % 3 != 2)
        found.setdefault(options["architecture"], options | more)
    return found


def encoders() -> dict[str, dict[str, Any]]:
    """The same of those that read texts whole."""
    wide = {"n_layer": 12, "n_embd": 512, "n_head": 8, "n_ff": 2048}
    found: dict[str, dict[str, Any]] = {}
    for options in encoder_models.CASES.values():
        found.setdefault(options.get("architecture", "bert"), options | wide)
    return found


def decoder_memory(path: Path, backend: str, threads: int) -> tuple[int, list[int]]:
    """(the plan's estimate, growth of each round), bytes."""
    needed = estimated(path, backend, threads, CONTEXT).total_bytes
    return needed, [growth_bytes(path, backend, threads, CONTEXT) for _ in range(ROUNDS)]


def encoder_memory(path: Path, backend: str, threads: int) -> tuple[int, list[int]]:
    """The same of reading texts."""
    plans = planner()
    request = PrefillRequest(model=str(path), backend=backend, threads=threads)
    artifact = plans.registry.resolve(str(path))
    needed = plan_reading(plans, request, artifact, [[5] * TEXT_TOKENS] * TEXTS).estimate.total_bytes
    return needed, [sizes_of(_READ, path, backend, threads, TEXTS, TEXT_TOKENS)[0] for _ in range(ROUNDS)]


def held(architecture: str) -> tuple[str, str]:
    """(types in which the same bits are held, sizes of batches that decode side by side), as cells."""
    if architecture in encoders():
        names = {name: encoder_models.CASES[name].get("architecture", "bert") for name, _ in held_bits.ENCODERS}
        return _counted([kind for name, kind in held_bits.ENCODERS if names[name] == architecture]), "–"  # noqa: RUF001
    if architecture in held_bits.PLAIN:
        return _counted([held_bits.EVERY_TYPE, *held_bits.PLAIN_TYPES]), ", ".join(map(str, held_bits.PLAIN_BATCHES))
    cases = {case for case, options in CASES.items() if options["architecture"] == architecture}
    types = [held_bits.EVERY_TYPE, *(kind for case, kind in held_bits.COMBINATIONS if case in cases)]
    return _counted(types), ", ".join(map(str, held_bits.BATCHES)) if cases & {*held_bits.KINDS} else "2"


def _counted(types: list[str]) -> str:
    first, *more = dict.fromkeys(types)
    return f"{first} and {len(more)} more" if more else first


def rows(only: str) -> Iterator[str]:
    """The table's rows, as they are measured."""
    machine = setting("")
    backend, threads = machine.backends[0], machine.threads
    with TemporaryDirectory() as folder:
        for name, options in {**decoders(), **encoders()}.items():
            if only not in name:
                continue
            path = Path(folder) / f"{name}.gguf"
            if name in encoders():
                encoder_models.write_encoder_model(path, **options)
                needed, grown = encoder_memory(path, backend, threads)
            else:
                write_architecture_model(path, **options)
                needed, grown = decoder_memory(path, backend, threads)
            path.unlink()
            over = statistics.median(needed / each for each in grown)
            yield _row((f"`{name}`", *held(name), f"{needed / 1e6:.0f} MB", f"{over:.3f}"))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.architectures", description=__doc__)
    parser.add_argument("--only", default="", help="only architectures whose name contains this")
    only = parser.parse_args().only
    sys.stdout.write(f"{_row(_HEADS)}{'|---' * len(_HEADS)}|\n")
    for row in rows(only):
        sys.stdout.write(row)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
