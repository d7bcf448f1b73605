"""Make tiny.json and tiny.npz: what llama.cpp computes on the tiny random models of :mod:`tests.golden.tiny_cases`.

Run by a peer's Python (see ``make peers``) in the repository's root: ``python -m tests.golden.make_tiny``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from tests.golden.exact.model import ExactModel
from tests.golden.peer import Peer
from tests.golden.tiny_cases import PLAIN, QUANTIZED, kept, token_prompts, weights_digest
from tests.support.gguf_factory import write_tiny_model

FOLDER = Path(__file__).parent


def peer_logits(path: Path, kv_type: str) -> npt.NDArray[np.float32]:
    """llama.cpp's logits at the kept positions of all prompts, ``[positions, vocabulary]``."""
    peer = Peer(path, context_length=256, kv_type=kv_type, threads=1)
    collected = []
    prompts = token_prompts(peer.vocabulary_size)
    for prompt, positions in zip(prompts, kept(prompts), strict=True):
        peer.restart()
        collected.append(peer.extend(prompt, positions.start))
    peer.close()
    return np.concatenate(collected)


def exact_distance(path: Path, logits: npt.NDArray[np.float32]) -> float:
    """Mean absolute, over every kept position and the whole vocabulary."""
    prompts = token_prompts(logits.shape[-1])
    exact = np.concatenate(ExactModel(path).logits(prompts, kept(prompts)))
    return float(np.abs(logits - exact).mean())


def main() -> None:
    plain: dict[str, dict[str, Any]] = {}
    quantized: dict[str, dict[str, Any]] = {}
    arrays: dict[str, npt.NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in PLAIN.items():
            path = write_tiny_model(Path(folder) / f"{name}.gguf", **options)
            arrays[name] = peer_logits(path, "f32")
            plain[name] = {"weights": weights_digest(path), "peer_distance": exact_distance(path, arrays[name])}
        for name, options in QUANTIZED.items():
            path = write_tiny_model(Path(folder) / f"{name}.gguf", **options)
            distance = exact_distance(path, peer_logits(path, "f16"))
            quantized[name] = {"weights": weights_digest(path), "peer_distance": distance}
    np.savez_compressed(FOLDER / "tiny.npz", **arrays)  # type: ignore[arg-type]
    head = {
        "peer": f"llama-cpp-python {llama_cpp.__version__}",
        "peer_settings": "1 thread, flash attention off; KV cache f32 for the F32 models, f16 for the others",
        "plain": plain,
        "quantized": quantized,
    }
    (FOLDER / "tiny.json").write_text(json.dumps(head, indent=1) + "\n")


if __name__ == "__main__":
    main()
