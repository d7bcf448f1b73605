"""Models to quantize: every tensor as wide as a real model's, but with few rows, so that they are made in no time.

Nothing can run them; quantizers see names, types and shapes only. Equal options give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.support.blocks import encode_floats, random_weights
from tests.support.gguf_factory import RandomTensors, add_shape, new_gguf

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WideModel:
    architecture: str = "llama"
    layers: int = 8
    embedding: int = 256
    feed_forward: int = 512
    rows: int = 8
    experts: int = 0
    tied: bool = True
    bias: bool = False
    tensor_type: str = "F32"
    seed: int = 0
    also: tuple[str, ...] = ()
    """More matrices, of ``embedding`` columns."""


WIDE_MODELS = {
    "llama_1b_f16": WideModel(layers=4, embedding=2048, feed_forward=8192, tensor_type="F16", seed=1),
    "qwen2_05b_bf16": WideModel(
        "qwen2", layers=5, embedding=896, feed_forward=4864, bias=True, tensor_type="BF16", seed=2
    ),
    "smollm2_135m": WideModel(layers=9, embedding=576, feed_forward=1536, seed=3),
    "untied": WideModel(layers=16, tied=False, tensor_type="F16", seed=4),
    "eight_experts": WideModel(layers=8, experts=8, tied=False, tensor_type="BF16", rows=4, seed=5),
    "odd_columns": WideModel(layers=3, embedding=80, feed_forward=96, tied=False, seed=6),
    "requantized_q8_0": WideModel(layers=3, tensor_type="Q8_0", seed=7),
    "requantized_q4_k": WideModel(layers=3, tensor_type="Q4_K", seed=8),
    "requantized_q2_k": WideModel(layers=3, tensor_type="Q2_K", seed=9),
    "requantized_q3_k": WideModel(layers=3, tensor_type="Q3_K", seed=10),
    "requantized_iq4_nl": WideModel(layers=3, tensor_type="IQ4_NL", seed=11),
    "requantized_iq4_xs": WideModel(layers=3, tensor_type="IQ4_XS", seed=12),
    "requantized_mxfp4": WideModel(layers=3, experts=4, tensor_type="MXFP4", seed=13),
}


def write_wide_model(path: Path, model: WideModel) -> Path:
    with new_gguf(path, model.architecture) as writer:
        writer.add_name("wide")
        writer.add_quantization_version(2)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
        add_shape(writer, model.layers, 256, model.embedding, model.feed_forward, 8)
        add_llama_keys(writer, kv_heads=2, vocabulary=model.rows)
        if model.experts:
            writer.add_expert_count(model.experts)
            writer.add_expert_used_count(2)
        _Tensors(writer, model).add()
    return path


def add_llama_keys(writer: gguf.GGUFWriter, *, kv_heads: int, vocabulary: int) -> None:
    """Keys that llama has beside the sizes of all architectures."""
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)


def wide_importance(model: WideModel) -> dict[str, Floats]:
    """Values for most tensors: of very different sizes, zeros among them; none for the keys and the embedding."""
    random = np.random.default_rng(model.seed + 1000)
    values: dict[str, Floats] = {}
    for layer in range(model.layers):
        for name in ("attn_q", "attn_v", "attn_output"):
            values[f"blk.{layer}.{name}.weight"] = _importance(random, model.embedding)
        suffix, count = ("_exps", model.experts) if model.experts else ("", 1)
        for name in ("ffn_gate", "ffn_up"):
            values[f"blk.{layer}.{name}{suffix}.weight"] = _importance(random, model.embedding * count)
        values[f"blk.{layer}.ffn_down{suffix}.weight"] = _importance(random, model.feed_forward * count)
    if not model.tied:
        values["output.weight"] = _importance(random, model.embedding)
    return values


def importance_for(path: Path, seed: int = 0) -> dict[str, Floats]:
    """Importance for the matrices of a file, each expert's its own; none for the keys and the embedding."""
    random = np.random.default_rng(seed)
    return {
        tensor.name: _importance(random, int(np.prod((tensor.shape[0], *tensor.shape[2:]))))
        for tensor in gguf.GGUFReader(path).tensors
        if len(tensor.shape) > 1 and "attn_k." not in tensor.name and tensor.name != "token_embd.weight"
    }


def _importance(random: np.random.Generator, size: int) -> Floats:
    values = np.exp(random.normal(-3.0, 2.0, size)).astype(np.float32)
    values[random.random(size) < 0.05] = 0
    return values


class _Tensors(RandomTensors[WideModel]):
    def add(self) -> None:
        model = self._model
        # Not in the order of a quantized file.
        self.norm("output_norm", model.embedding)
        for layer in reversed(range(model.layers)):
            self._block(f"blk.{layer}")
        self._rows("token_embd.weight", model.embedding)
        if not model.tied:
            self._rows("output.weight", model.embedding)
        for name in model.also:
            self._rows(name, model.embedding)

    def _block(self, prefix: str) -> None:
        model = self._model
        self.norm(f"{prefix}.attn_norm", model.embedding)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            self._rows(f"{prefix}.{name}.weight", model.embedding)
            if model.bias and name != "attn_output":
                self.vector(f"{prefix}.{name}.bias", 0.1, model.rows, mean=1.0)
        self.norm(f"{prefix}.ffn_norm", model.embedding)
        if model.experts:
            self.vector(f"{prefix}.ffn_gate_inp.weight", 0.1, model.experts, model.embedding)
        suffix = "_exps" if model.experts else ""
        for name in ("ffn_gate", "ffn_up"):
            self._rows(f"{prefix}.{name}{suffix}.weight", model.embedding, model.experts)
        self._rows(f"{prefix}.ffn_down{suffix}.weight", model.feed_forward, model.experts)

    def _rows(self, name: str, columns: int, experts: int = 0) -> None:
        model = self._model
        rows = model.rows * max(1, experts)
        if model.tensor_type in ("F32", "F16", "BF16"):
            data = encode_floats(model.tensor_type, weight_rows(self._random, rows, columns))
        else:
            data = random_weights(self._random, model.tensor_type, rows, columns)
        shape = (experts, model.rows, -1) if experts else (rows, -1)
        self._writer.add_tensor(name, data.reshape(shape), raw_dtype=gguf.GGMLQuantizationType[model.tensor_type])


def weight_rows(random: np.random.Generator, rows: int, columns: int) -> Floats:
    """Rows of different spreads, with a few values far out, as in real models, and a few blocks of zeros."""
    values = random.normal(0.0, 1.0, (rows, columns)) * np.exp(random.normal(-4.0, 1.0, (rows, 1)))
    values[random.random((rows, columns)) < 0.002] *= 20
    for row in range(rows):
        begin = int(random.integers(0, columns))
        values[row, begin : begin + 40] = 0
    return values.astype(np.float32)
