"""Tiny GGUF models with random weights: real enough to load, tokenize and run, small enough to make for every test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import numpy.typing as npt
from gguf import quants

from tests.support.gguf_vocabulary import TinyVocabulary, VocabularyKind, add_vocabulary, tiny_bpe, tiny_spm

Architecture = Literal["llama", "qwen2"]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


_SCALE_FIRST = {
    "IQ4_NL": (16, 67), "IQ1_S": (48, 6.4), "IQ2_XXS": (64, 50), "IQ2_XS": (72, 50), "IQ2_S": (80, 50),
    "IQ3_XXS": (96, 130), "IQ3_S": (108, 150),
}  # fmt: skip
"""Blocks of a scale and bytes that may be anything: how many, and how widely they spread the weights."""


@dataclass(frozen=True)
class TinyModel:
    """What to write. ``n_embd`` and ``n_ff`` must be multiples of 32, of 256 for types of super-blocks."""

    architecture: Architecture = "llama"
    n_layer: int = 2
    n_embd: int = 64
    n_head: int = 4
    n_head_kv: int = 2
    n_ff: int = 128
    context_length: int = 256
    rope_freq_base: float = 10000.0
    rope_freqs: bool = False
    """Llama 3's frequency factors: 1 for short wavelengths, growing to 8 for long ones."""
    tied: bool = True
    qkv_bias: bool | None = None
    """None: as the architecture has it (qwen2 does, llama does not)."""
    tensor_type: str = "F32"
    embedding_type: str | None = None
    """None: as ``tensor_type``. The head's too where it is tied."""
    head_type: str | None = None
    vocabulary: VocabularyKind = "bpe"
    more_controls: tuple[str, ...] = ()
    """Control tokens of a ``bpe`` vocabulary beside its own three."""
    more_rows: int = 0
    """Rows of the embedding beyond the tokens."""
    pre: str | None = "smollm"
    chat_template: str | None = CHATML
    tool_template: str | None = None
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    """What the file advises, by the last word of ``general.sampling.``."""
    weights: bool = True
    """False writes a vocabulary-only file."""
    seed: int = 0

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head


@contextmanager
def new_gguf(path: Path, architecture: str) -> Iterator[gguf.GGUFWriter]:
    """A writer of keys and tensors; at the end of the block there is the file."""
    writer = gguf.GGUFWriter(path, architecture)
    yield writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tiny_model(path: Path, **options: object) -> Path:
    """Write ``TinyModel(**options)`` to ``path``; equal options give equal bytes."""
    model = TinyModel(**options)  # type: ignore[arg-type]
    vocabulary = tiny_bpe(model.more_controls) if model.vocabulary == "bpe" else tiny_spm()
    with new_gguf(path, model.architecture) as writer:
        _add_hyper_parameters(writer, model, vocabulary)
        add_vocabulary(writer, vocabulary, model.pre)
        if model.chat_template is not None:
            writer.add_chat_template(model.chat_template)
        for name, value in model.sampling.items():
            if isinstance(value, float):
                writer.add_float32(f"general.sampling.{name}", value)
            else:
                writer.add_int32(f"general.sampling.{name}", value)
        if model.tool_template is not None:
            writer.add_string("tokenizer.chat_template.tool_use", model.tool_template)
        if model.weights:
            _Weights(writer, model).add(len(vocabulary) + model.more_rows)
    return path


def _add_hyper_parameters(writer: gguf.GGUFWriter, model: TinyModel, vocabulary: TinyVocabulary) -> None:
    writer.add_name(f"tiny {model.architecture}")
    writer.add_block_count(model.n_layer)
    writer.add_context_length(model.context_length)
    writer.add_embedding_length(model.n_embd)
    writer.add_feed_forward_length(model.n_ff)
    writer.add_head_count(model.n_head)
    writer.add_head_count_kv(model.n_head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_rope_freq_base(model.rope_freq_base)
    writer.add_vocab_size(len(vocabulary))


class _Weights:
    def __init__(self, writer: gguf.GGUFWriter, model: TinyModel) -> None:
        self._writer = writer
        self._model = model
        self._random = np.random.default_rng(model.seed)

    def add(self, vocab_size: int) -> None:
        model = self._model
        embedding_type = model.embedding_type or model.tensor_type
        self._matrix("token_embd.weight", vocab_size, model.n_embd, embedding_type)
        if model.rope_freqs:
            ramp = np.geomspace(1.0, 8.0, model.head_dim // 2)
            self._writer.add_tensor("rope_freqs.weight", ramp.astype(np.float32))
        for layer in range(model.n_layer):
            self._block(f"blk.{layer}")
        self._norm("output_norm.weight")
        if not model.tied:
            self._matrix("output.weight", vocab_size, model.n_embd, model.head_type or model.tensor_type)

    def _block(self, prefix: str) -> None:
        model = self._model
        n_kv = model.n_head_kv * model.head_dim
        self._norm(f"{prefix}.attn_norm.weight")
        with_bias = model.architecture == "qwen2" if model.qkv_bias is None else model.qkv_bias
        for name, rows in (("attn_q", model.n_embd), ("attn_k", n_kv), ("attn_v", n_kv)):
            self._matrix(f"{prefix}.{name}.weight", rows, model.n_embd, model.tensor_type)
            if with_bias:
                bias = self._random.normal(0.0, 0.1, rows)
                self._writer.add_tensor(f"{prefix}.{name}.bias", bias.astype(np.float32))
        self._matrix(f"{prefix}.attn_output.weight", model.n_embd, model.n_embd, model.tensor_type)
        self._norm(f"{prefix}.ffn_norm.weight")
        for name in ("ffn_gate", "ffn_up"):
            self._matrix(f"{prefix}.{name}.weight", model.n_ff, model.n_embd, model.tensor_type)
        self._matrix(f"{prefix}.ffn_down.weight", model.n_embd, model.n_ff, model.tensor_type)

    def _norm(self, name: str) -> None:
        self._writer.add_tensor(name, self._random.normal(1.0, 0.1, self._model.n_embd).astype(np.float32))

    def _matrix(self, name: str, rows: int, columns: int, type_name: str) -> None:
        add_matrix(self._writer, self._random, name, type_name, (rows, columns))


def add_matrix(
    writer: gguf.GGUFWriter, random: np.random.Generator, name: str, type_name: str, shape: tuple[int, ...]
) -> None:
    """Random weights, or several matrices of them, whose products with a normalized row are about as large as it."""
    kind = gguf.GGMLQuantizationType[type_name]
    *outer, columns = shape
    deviation = columns**-0.5
    if has_super_blocks(type_name) or type_name == "IQ4_NL":
        data = _random_blocks(random, type_name, int(np.prod(outer)), columns, deviation).reshape(*outer, -1)
    else:
        data = quants.quantize(random.normal(0.0, deviation, shape).astype(np.float32), kind)
    writer.add_tensor(name, data, raw_dtype=kind)


def has_super_blocks(type_name: str) -> bool:
    """Whether rows must be multiples of 256."""
    return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]][0] == 256


def _random_blocks(
    random: np.random.Generator, type_name: str, rows: int, columns: int, deviation: float
) -> npt.NDArray[np.uint8]:
    """Rows of valid random blocks, for the types that the ``gguf`` package does not quantize to."""
    blocks = (rows, columns // gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]][0])

    def codes(count: int) -> npt.NDArray[np.uint8]:
        return random.integers(0, 256, (*blocks, count), dtype=np.uint8)

    def scale(mean: float) -> npt.NDArray[np.uint8]:
        return (mean * random.uniform(0.5, 1.5, (*blocks, 1))).astype("<f2").view(np.uint8)

    # 6-bit scales and minima average 31.5, so a minimum scale of the mean code times d centres the values.
    match type_name:
        case "Q4_K" | "Q5_K":
            largest, high = (15, 0) if type_name == "Q4_K" else (31, 32)
            d = deviation / (largest + 1) / 15
            fields = [scale(d), scale(d * largest / 2), codes(12), codes(high), codes(128)]
        case "Q6_K":
            fields = [codes(128), codes(64), codes(16), scale(deviation / 1360)]
        case "Q2_K":
            d = deviation / 14
            fields = [codes(16), codes(64), scale(d), scale(d * 1.5)]
        case "Q3_K":
            fields = [codes(32), codes(64), codes(12), scale(deviation / 43)]
        case "IQ4_XS":
            fields = [scale(deviation / 1245), codes(6), codes(128)]
        case "IQ1_M":
            fields = [codes(48), _quarters(scale(deviation / 6.4)) | codes(8) & np.array([0xFF, 0x0F] * 4, np.uint8)]
        case "TQ1_0" | "TQ2_0":
            fields = [_digits(codes(52)) if type_name == "TQ1_0" else codes(64), scale(deviation)]
        case _:
            size, spread = _SCALE_FIRST[type_name]
            fields = [scale(deviation / spread), codes(size)]
    return np.concatenate(fields, axis=-1).reshape(rows, -1)


def _digits(any_bytes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Five digits to base 3 in a byte: a fraction of 256, rounded up."""
    rounded_up = (any_bytes.astype(np.uint16) % 243 * 256 + 242) // 243
    return np.asarray(rounded_up, np.uint8)


def _quarters(halves: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Each f16 as four 16-bit words that have four bits of it at their top."""
    words = halves.view("<u2") >> np.array([0, 4, 8, 12], np.uint16) << np.uint16(12)
    return np.asarray(words, "<u2").view(np.uint8)
