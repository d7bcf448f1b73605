"""Make architectures.json and architectures.npz: what llama.cpp computes on the tiny random models of
:mod:`tests.support.architecture_models`, F32 weights and F32 KV cache, without flash attention.

Run by a peer's Python (see ``make peers``) in the repository's root: ``python -m tests.golden.make_architectures``.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.golden.architecture_path import KEPT, STEPS, Logits, Step, prompt_of
from tests.golden.peer import Peer
from tests.golden.tiny_cases import weights_digest
from tests.support.architecture_models import ALL_CASES, write_architecture_model

FOLDER = Path(__file__).parent


def walk(path: Path) -> tuple[list[Step], Logits]:
    """llama.cpp's greedy steps, and its logits at the kept positions ``[positions, vocabulary]``."""
    peer = Peer(path, context_length=256, kv_type="f32", threads=1)
    rows = [*peer.extend(prompt_of(peer.vocabulary_size), 0)]
    steps = [Step.of(rows[-1])]
    while len(steps) < STEPS:
        rows += [*peer.extend([steps[-1].best])]
        steps.append(Step.of(rows[-1]))
    peer.close()
    return steps, np.stack([rows[position] for position in KEPT])


def main() -> None:
    cases: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Logits] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in ALL_CASES.items():
            path = write_architecture_model(Path(folder) / f"{name}.gguf", **options)
            steps, arrays[name] = walk(path)
            cases[name] = {"weights": weights_digest(path), "steps": [astuple(step) for step in steps]}
    np.savez_compressed(FOLDER / "architectures.npz", **arrays)  # type: ignore[arg-type]
    head = {
        "peer": f"llama-cpp-python {llama_cpp.__version__}",
        "peer_settings": "1 thread, KV cache f32, flash attention off",
        "step": "best token, second best, their logits",
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    (FOLDER / "architectures.json").write_text(f'{json.dumps(head)[:-1]}, "cases": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
