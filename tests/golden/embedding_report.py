"""Print how far the engine's vectors are from llama.cpp's, and on SmolLM2 how far either is from its weights in F32.

.venv/bin/python -m tests.golden.embedding_report [SmolLM2-135M-Instruct.Q4_1.gguf]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from engine import _core
from tests.golden.embedding_data import (
    POOLINGS,
    Vectors,
    compared,
    cosine_distances,
    largest_difference,
    read_head,
    read_vectors,
    token_texts,
)
from tests.support.architecture_models import CASES, write_architecture_model


def engine_vectors(model: _core.Model, texts: list[list[int]], pooling: str, threads: int = 1) -> Vectors:
    embedding = _core.TextEmbedding(model, texts, pooling=pooling, normalize=False, threads=threads)
    embedding.run()
    return embedding.vectors


def tiny_row(case: str, folder: Path, backend: str) -> str:
    path = write_architecture_model(folder / f"{case}.gguf", **CASES[case])
    model = _core.Model.load(str(path), backend, 1)
    figures = []
    for pooling in POOLINGS:
        kept = compared(CASES[case])
        ours = engine_vectors(model, token_texts(model.vocab_size), pooling)[kept]
        theirs = read_vectors(case, pooling)[kept]
        figures.append(f"{cosine_distances(ours, theirs).max():10.1e} {largest_difference(ours, theirs):10.1e}")
    return f"{case:24}" + "".join(figures) + "\n"


def real_rows(model: _core.Model, threads: int) -> str:
    rows = ""
    for pooling in POOLINGS:
        ours = engine_vectors(model, read_head()["token_ids"], pooling, threads)
        theirs, plain = read_vectors("smollm2", pooling), read_vectors("smollm2_f32", pooling)
        for name, a, b in (
            ("the engine from llama.cpp", ours, theirs),
            ("the engine from F32", ours, plain),
            ("llama.cpp from F32", theirs, plain),
        ):
            distances = cosine_distances(a, b)
            rows += f"{pooling:5} {name:26} {distances.mean():9.2e} {distances.max():9.2e} "
            rows += f"{largest_difference(a, b):9.3f}\n"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--backend", default="cpu_avx2", help="kernel table")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sys.stdout.write(f"{'1 - cosine, largest difference':24} {'mean':>15}{'cls':>21}{'last':>21}\n")
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            sys.stdout.write(tiny_row(case, Path(folder), arguments.backend))
    if arguments.model is not None:
        model = _core.Model.load(str(arguments.model), arguments.backend, arguments.threads)
        sys.stdout.write("SmolLM2: 1 - cosine, mean and largest; largest difference\n" + real_rows(model, 2))


if __name__ == "__main__":
    main()
