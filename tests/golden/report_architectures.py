"""Print how far the engine and llama.cpp lie from exact arithmetic and from each other on the tiny models, the furthest
setting of each architecture: one table of those that answer, one of those that read texts whole.

.venv/bin/python -m tests.golden.report_architectures
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from engine import _core
from tests.golden.architecture_path import relative_distance
from tests.golden.architecture_run import F16_CACHE, TIED, run
from tests.golden.embedding_data import Vectors, encoder_poolings, read_vectors, token_texts
from tests.golden.embedding_report import engine_vectors
from tests.golden.exact.encoder import ExactEncoder
from tests.golden.exact.formulas import Array
from tests.support import encoder_models
from tests.support.architecture_models import ALL_CASES
from tests.support.real_models import fast_kernel_table

_HEADS = (
    "llama.cpp, F32 cache", "llama.cpp, F16 cache", "engine", "engine, cache rounded in the reference too",
    "engine from llama.cpp, F32 cache",
)  # fmt: skip
_ENCODER_HEADS = ("llama.cpp", "engine", "engine from llama.cpp")


def distances(case: str) -> tuple[float, ...]:
    """Distances in the order of the table's columns."""
    made = run(case)
    return (
        relative_distance(made.peer, made.exact),
        F16_CACHE[case],
        relative_distance(made.ours, made.exact),
        relative_distance(made.ours, made.rounded),
        relative_distance(made.ours, made.peer),
    )


def encoder_distances(case: str, folder: Path) -> tuple[float, ...]:
    """The same of vectors of length 1, or of scores, over all poolings."""
    options = encoder_models.CASES[case]
    path = encoder_models.write_encoder_model(folder / f"{case}.gguf", **options)
    model, reference = _core.Model.load(str(path), fast_kernel_table(), 1), ExactEncoder(path)
    texts = token_texts(model.vocab_size)
    ours, peer, exact = [], [], []
    for pooling in encoder_poolings(options):
        ranks = pooling == "rank"
        ours.append(_comparable(engine_vectors(model, texts, pooling), ranks))
        peer.append(_comparable(read_vectors(case, pooling), ranks))
        exact += [
            np.array([reference.score(text, len(text))]) if ranks else reference.vector(text, pooling) for text in texts
        ]
    a, b, c = np.concatenate(ours), np.concatenate(peer), np.stack(exact)
    return relative_distance(b, c), relative_distance(a, c), relative_distance(a, b)


def _comparable(vectors: Vectors, ranks: bool) -> Array:
    precise = vectors.astype(np.float64)
    return precise if ranks else precise / np.linalg.norm(precise, axis=1, keepdims=True)


def _write_table(heads: Iterable[str], rows: dict[str, list[tuple[float, ...]]]) -> None:
    cells = ("architecture", *heads)
    sys.stdout.write(f"| {' | '.join(cells)} |\n{'|---' * len(cells)}|\n")
    for architecture, measured in rows.items():
        furthest = " | ".join(f"{max(column):.1e}" for column in zip(*measured, strict=True))
        sys.stdout.write(f"| `{architecture}` | {furthest} |\n")


def main() -> None:
    rows: dict[str, list[tuple[float, ...]]] = {}
    for case, options in ALL_CASES.items():
        if case != TIED:
            rows.setdefault(options["architecture"], []).append(distances(case))
    _write_table(_HEADS, rows)
    encoders: dict[str, list[tuple[float, ...]]] = {}
    with TemporaryDirectory() as folder:
        for case in encoder_models.CASES:
            encoders.setdefault(case, []).append(encoder_distances(case, Path(folder)))
    sys.stdout.write("\n")
    _write_table(_ENCODER_HEADS, encoders)


if __name__ == "__main__":
    main()
