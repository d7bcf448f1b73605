"""Make embeddings.json and embeddings.npz: vectors that llama.cpp pools, not normalized, of the tiny random models of
:mod:`tests.support.architecture_models` and :mod:`tests.support.encoder_models`, and of SmolLM2, as it is and with its
weights in F32.

Run by a peer's Python (see ``make peers``) in the repository's root:

    python -m tests.golden.make_embeddings SmolLM2-135M-Instruct.Q4_1.gguf
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.golden.dequantize import write_dequantized
from tests.golden.embedding_data import (
    FOLDER,
    POOLINGS,
    TINY_CONTEXT,
    Vectors,
    encoder_poolings,
    real_texts,
    token_texts,
)
from tests.golden.peer import Peer
from tests.golden.tiny_cases import weights_digest
from tests.support import encoder_models
from tests.support.architecture_models import CASES, write_architecture_model

_REAL_CONTEXT = 512


def embed(
    path: Path, texts: Sequence[Sequence[int]], pooling: str, context_length: int, kv_type: str = "f16"
) -> Vectors:
    peer = Peer(path, context_length=context_length, kv_type=kv_type, pooling=pooling)
    vectors = np.stack([peer.embed(text) for text in texts])
    peer.close()
    return vectors


def embed_tiny(arrays: dict[str, Vectors]) -> dict[str, str]:
    """Embed with the tiny models; digests of their weights by case."""
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, options in CASES.items():
            path = write_architecture_model(Path(folder) / f"{case}.gguf", **options)
            digests[case] = weights_digest(path)
            peer = Peer(path, context_length=TINY_CONTEXT)
            texts = token_texts(peer.vocabulary_size)
            peer.close()
            arrays |= {f"{case}.{pooling}": embed(path, texts, pooling, TINY_CONTEXT) for pooling in POOLINGS}
    return digests


def embed_encoders(arrays: dict[str, Vectors]) -> dict[str, str]:
    """The same of models that read texts whole, one text after another; a reranker's scores."""
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case, options in encoder_models.CASES.items():
            path = encoder_models.write_encoder_model(Path(folder) / f"{case}.gguf", **options)
            digests[case] = weights_digest(path)
            texts = token_texts(len(encoder_models.spelled_tokens()))
            for pooling in encoder_poolings(options):
                arrays[f"{case}.{pooling}"] = embed(path, texts, pooling, TINY_CONTEXT)
    return digests


def embed_real(model: Path, arrays: dict[str, Vectors]) -> list[list[int]]:
    """The texts' tokens."""
    plain = model.with_suffix(".dequantized-f32.gguf")
    if not plain.exists():
        write_dequantized(model, plain)
    peer = Peer(model, context_length=_REAL_CONTEXT)
    texts = [peer.tokenize(text) for text in real_texts()]
    peer.close()
    for pooling in POOLINGS:
        arrays[f"smollm2.{pooling}"] = embed(model, texts, pooling, _REAL_CONTEXT)
        arrays[f"smollm2_f32.{pooling}"] = embed(plain, texts, pooling, _REAL_CONTEXT, "f32")
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model
    arrays: dict[str, Vectors] = {}
    head: dict[str, Any] = {
        "peer": f"llama-cpp-python {llama_cpp.__version__}",
        "peer_settings": "2 threads, flash attention off; KV cache f16, of SmolLM2 in F32 f32",
        "model": model.name,
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "weights": embed_tiny(arrays) | embed_encoders(arrays),
        "token_ids": embed_real(model, arrays),
    }
    np.savez_compressed(FOLDER / "embeddings.npz", **arrays)  # type: ignore[arg-type]
    (FOLDER / "embeddings.json").write_text(json.dumps(head) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
