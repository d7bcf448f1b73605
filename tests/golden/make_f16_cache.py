"""Make f16_cache.json: how far from exact arithmetic llama.cpp is on :mod:`tests.support.architecture_models`
with the cache that the engine has as well, keys and values in F16; along the paths of architectures.json.

Run by a peer's Python (see ``make peers``) in the repository's root: ``python -m tests.golden.make_f16_cache``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.golden.architecture_path import KEPT, PROMPT_TOKENS, Logits, forced_path, prompt_of, relative_distance
from tests.golden.exact.model import ExactModel
from tests.golden.exact.weights import Weights
from tests.golden.peer import Peer
from tests.support.architecture_models import ALL_CASES, NEARLY_TIED, write_architecture_model

FOLDER = Path(__file__).parent


def peer_logits(path: Path, tokens: Sequence[int], kv_type: str) -> Logits:
    """llama.cpp's logits after each token, ``[tokens, vocabulary]``: the prompt at once, what follows one by one."""
    peer = Peer(path, context_length=256, kv_type=kv_type, threads=1)
    rows = [*peer.extend(tokens[:PROMPT_TOKENS], 0)]
    for token in tokens[PROMPT_TOKENS:]:
        rows += [*peer.extend([token])]
    peer.close()
    return np.stack(rows)


def vocabulary_size(path: Path) -> int:
    return Weights(path).rows("token_embd")


def distance(path: Path, tokens: Sequence[int]) -> float:
    (exact,) = ExactModel(path).logits([tokens], [KEPT])
    return relative_distance(peer_logits(path, tokens, "f16")[list(KEPT)], exact)


def nearly_tied(path: Path) -> dict[str, float]:
    """Distances on the prompt: with either cache, from the reference with and without its own rounded."""
    write_architecture_model(path, **NEARLY_TIED)
    tokens = prompt_of(vocabulary_size(path))
    references = {
        cache.__name__: ExactModel(path, cache).logits([tokens], [range(len(tokens))])[0]
        for cache in (np.float64, np.float16)
    }
    return {
        f"{kv_type} from {name}": relative_distance(peer_logits(path, tokens, kv_type), exact)
        for kv_type in ("f32", "f16")
        for name, exact in references.items()
    }


def main() -> None:
    golden = json.loads((FOLDER / "architectures.json").read_text())["cases"]
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in ALL_CASES.items():
            path = write_architecture_model(Path(folder) / f"{name}.gguf", **options)
            cases[name] = distance(path, forced_path(vocabulary_size(path), golden[name]["steps"]))
        tied = nearly_tied(Path(folder) / "tied.gguf")
    head = {
        "peer": f"llama-cpp-python {llama_cpp.__version__}",
        "peer_settings": "1 thread, KV cache f16, flash attention off",
        "distance": "mean absolute difference of the logits, in standard deviations of the exact ones",
        "cases": cases,
        "nearly_tied": tied,
    }
    (FOLDER / "f16_cache.json").write_text(json.dumps(head, indent=1) + "\n")


if __name__ == "__main__":
    main()
