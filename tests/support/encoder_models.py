"""Tiny random models that read texts whole: BERT, Nomic Embed, a reranker, EmbeddingGemma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gguf

from tests.support.gguf_factory import RandomTensors, add_shape, new_gguf

WORDS: Final = (
    "the", "and", "of", "to", "is", "in", "it", "cat", "dog", "sat", "mat", "on", "a", "hello", "world", "cafe", "run",
    "rate", "bank", "rose", "!", ".", ",", "?", "-", "'", "un", "北", "京",
)  # fmt: skip
"""Pieces that begin a word."""
ENDS: Final = ("s", "ing", "ed", "er", "able", "##", "x", "y", "z")
"""Pieces that go on with a word."""
SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class EncoderModel:
    """What to write."""

    architecture: str = "bert"
    n_layer: int = 3
    n_embd: int = 96
    n_head: int = 3
    n_head_kv: int | None = None
    n_ff: int = 160
    context_length: int = 600
    pooling_type: int | None = None
    classifier: bool = False
    pooled: tuple[int, ...] = ()
    """Widths of what a pooled vector is projected to."""
    tensor_type: str = "F32"
    keys: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


CASES: Final[dict[str, dict[str, Any]]] = {
    "bert": {"pooling_type": 1},
    "bert_cls": {"pooling_type": 2, "n_embd": 64, "n_head": 2, "n_ff": 96},
    "reranker": {"pooling_type": 4, "classifier": True},
    "nomic_bert": {"architecture": "nomic-bert", "pooling_type": 1},
    "gemma_embedding": {
        "architecture": "gemma-embedding", "n_layer": 4, "n_embd": 128, "n_head": 4, "n_head_kv": 1,
        "pooled": (192, 128), "pooling_type": 1,
        "keys": {"attention.sliding_window": 24, "attention.sliding_window_pattern": 2},
    },
}  # fmt: skip


def spelled_tokens() -> tuple[str, ...]:
    """The vocabulary as a GGUF has it: ``▁`` before what begins a word."""
    letters = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
    begin = dict.fromkeys((*WORDS, *letters))
    ends = dict.fromkeys((*ENDS, *letters))
    return (*SPECIAL, *(f"▁{word}" for word in begin), *ends)


def write_encoder_model(path: Path, **options: Any) -> Path:
    """Write ``EncoderModel(**options)``; equal options give equal bytes."""
    model = EncoderModel(**options)
    gemma = model.architecture == "gemma-embedding"
    with new_gguf(path, model.architecture) as writer:
        _add_keys(writer, model)
        tokens = spelled_tokens()
        add_word_pieces(writer, tokens, types=2)
        weights = _Weights(writer, model)
        (weights.add_gemma if gemma else weights.add_bert)(len(tokens))
    return path


def add_word_pieces(writer: gguf.GGUFWriter, tokens: Sequence[str], types: int) -> None:
    """BERT's vocabulary, as a GGUF spells it, and how many types of tokens there are."""
    writer.add_tokenizer_model("bert")
    writer.add_token_list(list(tokens))
    kinds = (gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_type_count(types)
    for name, kind in zip(SPECIAL, ("pad", "unk", "bos", "sep", "mask"), strict=True):
        getattr(writer, f"add_{kind}_token_id")(tokens.index(name))


def _add_keys(writer: gguf.GGUFWriter, model: EncoderModel) -> None:
    writer.add_name(f"tiny {model.architecture}")
    add_shape(writer, model.n_layer, model.context_length, model.n_embd, model.n_ff, model.n_head)
    if model.n_head_kv is not None:
        writer.add_head_count_kv(model.n_head_kv)
    if model.architecture == "gemma-embedding":
        writer.add_layer_norm_rms_eps(1e-6)
    else:
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(value=False)
    if model.architecture != "bert":
        writer.add_rope_freq_base(1000.0)
    if model.pooling_type is not None:
        writer.add_uint32(f"{model.architecture}.pooling_type", model.pooling_type)
    width = model.n_embd
    for number, projected in enumerate(model.pooled, 2):
        writer.add_uint32(f"{model.architecture}.dense_{number}_feat_in", width)
        writer.add_uint32(f"{model.architecture}.dense_{number}_feat_out", projected)
        width = projected
    for key, value in model.keys.items():
        writer.add_uint32(f"{model.architecture}.{key}", value)


class _Weights(RandomTensors[EncoderModel]):
    def add_bert(self, vocab_size: int) -> None:
        model = self._model
        self.matrix("token_embd", vocab_size, model.n_embd)
        self.matrix("token_types", 2, model.n_embd)
        if model.architecture == "bert":
            self.matrix("position_embd", model.context_length, model.n_embd)
        self.norm("token_embd_norm", model.n_embd, biased=True)
        for layer in range(model.n_layer):
            self._bert_block(f"blk.{layer}.")
        if model.classifier:
            self.projection("cls", model.n_embd, model.n_embd, biased=True)
            self.projection("cls.output", 1, model.n_embd, biased=True)

    def _bert_block(self, prefix: str) -> None:
        model, bert = self._model, self._model.architecture == "bert"
        if bert:
            for name in ("attn_q", "attn_k", "attn_v"):
                self.projection(prefix + name, model.n_embd, model.n_embd, biased=True)
        else:
            self.matrix(prefix + "attn_qkv", 3 * model.n_embd, model.n_embd)
        self.projection(prefix + "attn_output", model.n_embd, model.n_embd, biased=bert)
        self.norm(prefix + "attn_output_norm", model.n_embd, biased=True)
        if not bert:
            self.matrix(prefix + "ffn_gate", model.n_ff, model.n_embd)
        self.projection(prefix + "ffn_up", model.n_ff, model.n_embd, biased=bert)
        self.projection(prefix + "ffn_down", model.n_embd, model.n_ff, biased=bert)
        self.norm(prefix + "layer_output_norm", model.n_embd, biased=True)

    def add_gemma(self, vocab_size: int) -> None:
        model = self._model
        head_dim = model.n_embd // model.n_head
        kv_width = (model.n_head_kv or model.n_head) * head_dim
        self.matrix("token_embd", vocab_size, model.n_embd)
        for layer in range(model.n_layer):
            prefix = f"blk.{layer}."
            for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
                self.norm(prefix + name, model.n_embd)
            for name, rows in (("attn_q", model.n_embd), ("attn_k", kv_width), ("attn_v", kv_width)):
                self.matrix(prefix + name, rows, model.n_embd)
            for name in ("attn_q_norm", "attn_k_norm"):
                self.norm(prefix + name, head_dim)
            self.matrix(prefix + "attn_output", model.n_embd, model.n_embd)
            for name in ("ffn_gate", "ffn_up"):
                self.matrix(prefix + name, model.n_ff, model.n_embd)
            self.matrix(prefix + "ffn_down", model.n_embd, model.n_ff)
        self.norm("output_norm", model.n_embd)
        width = model.n_embd
        for number, rows in enumerate(model.pooled, 2):
            self.matrix(f"dense_{number}", rows, width)
            width = rows
