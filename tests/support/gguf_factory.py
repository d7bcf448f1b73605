"""Tiny GGUF models with random weights: real enough to load, tokenize and run, small enough to make for every test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import gguf
import numpy as np
import numpy.typing as npt
from gguf import quants

from tests.support.blocks import spread_halves
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
    add_shape(writer, model.n_layer, model.context_length, model.n_embd, model.n_ff, model.n_head)
    writer.add_head_count_kv(model.n_head_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_rope_freq_base(model.rope_freq_base)
    writer.add_vocab_size(len(vocabulary))


def add_shape(
    writer: gguf.GGUFWriter, layers: int, context: int, embedding: int, feed_forward: int, heads: int
) -> None:
    """The sizes that every architecture has."""
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(embedding)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)


class Drawn(Protocol):
    """A model whose weights are random."""

    @property
    def tensor_type(self) -> str: ...

    @property
    def seed(self) -> int: ...


ModelT = TypeVar("ModelT", bound=Drawn)


class RandomTensors(Generic[ModelT]):
    """Adds tensors to a file; weights are drawn in the order in which they are added."""

    def __init__(self, writer: gguf.GGUFWriter, model: ModelT) -> None:
        self._writer = writer
        self._model = model
        self._random = np.random.default_rng(model.seed)

    def matrix(self, name: str, *shape: int, tensor_type: str | None = None) -> None:
        add_matrix(self._writer, self._random, f"{name}.weight", tensor_type or self._model.tensor_type, shape)

    def projection(self, name: str, rows: int, columns: int, *, biased: bool = False) -> None:
        self.matrix(name, rows, columns)
        if biased:
            self.vector(f"{name}.bias", 0.1, rows)

    def norm(self, name: str, *shape: int, biased: bool = False) -> None:
        self.vector(f"{name}.weight", 0.1, *shape, mean=1.0)
        if biased:
            self.vector(f"{name}.bias", 0.1, *shape)

    def vector(self, name: str, deviation: float, *shape: int, mean: float = 0.0) -> None:
        self._writer.add_tensor(name, self._random.normal(mean, deviation, shape).astype(np.float32))


class _Weights(RandomTensors[TinyModel]):
    def add(self, vocab_size: int) -> None:
        model = self._model
        self.matrix("token_embd", vocab_size, model.n_embd, tensor_type=model.embedding_type)
        if model.rope_freqs:
            ramp = np.geomspace(1.0, 8.0, model.head_dim // 2)
            self._writer.add_tensor("rope_freqs.weight", ramp.astype(np.float32))
        for layer in range(model.n_layer):
            self._block(f"blk.{layer}")
        self.norm("output_norm", model.n_embd)
        if not model.tied:
            self.matrix("output", vocab_size, model.n_embd, tensor_type=model.head_type)

    def _block(self, prefix: str) -> None:
        model = self._model
        n_kv = model.n_head_kv * model.head_dim
        self.norm(f"{prefix}.attn_norm", model.n_embd)
        biased = model.architecture == "qwen2" if model.qkv_bias is None else model.qkv_bias
        for name, rows in (("attn_q", model.n_embd), ("attn_k", n_kv), ("attn_v", n_kv)):
            self.projection(f"{prefix}.{name}", rows, model.n_embd, biased=biased)
        self.matrix(f"{prefix}.attn_output", model.n_embd, model.n_embd)
        self.norm(f"{prefix}.ffn_norm", model.n_embd)
        for name in ("ffn_gate", "ffn_up"):
            self.matrix(f"{prefix}.{name}", model.n_ff, model.n_embd)
        self.matrix(f"{prefix}.ffn_down", model.n_embd, model.n_ff)


def add_matrix(
    writer: gguf.GGUFWriter, random: np.random.Generator, name: str, type_name: str, shape: tuple[int, ...]
) -> None:
    """Random weights, or several matrices of them, whose products with a normalized row are about as large as it."""
    data = random_matrix(random, type_name, shape)
    writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[type_name])


def random_matrix(random: np.random.Generator, type_name: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """The same as a file holds it, rows along the last axis."""
    *outer, columns = shape
    deviation = columns**-0.5
    if has_super_blocks(type_name) or type_name == "IQ4_NL":
        return _random_blocks(random, type_name, int(np.prod(outer)), columns, deviation).reshape(*outer, -1)
    values = random.normal(0.0, deviation, shape).astype(np.float32)
    return quants.quantize(values, gguf.GGMLQuantizationType[type_name])


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
            lows = np.array([0xFF, 0x0F] * 4, np.uint8)
            fields = [codes(48), spread_halves(scale(deviation / 6.4).view("<f2")) | codes(8) & lows]
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
