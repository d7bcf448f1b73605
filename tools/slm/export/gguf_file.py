"""A model as GGUF: architecture ``llama``, with its vocabulary and chat template, so that the engine runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import numpy.typing as npt

from slm.corpus.vocabulary import CHAT_TEMPLATE, CONTROLS, END_OF_TEXT, PRE_TOKENIZER, TURN_ENDS
from slm.errors import SlmError
from slm.export.trained_model import TrainedModel

WeightType = Literal["f32", "fp16"]

NAMES = {
    "attn_norm": "attn_norm",
    "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k",
    "attn.v_proj": "attn_v",
    "attn.o_proj": "attn_output",
    "ffn_norm": "ffn_norm",
    "ffn.gate_proj": "ffn_gate",
    "ffn.up_proj": "ffn_up",
    "ffn.down_proj": "ffn_down",
}
"""Parts of a layer, and their names in GGUF."""
_LARGEST_F16 = 65_504.0


def gguf_name(name: str) -> str:
    """The name in GGUF of a weight of :class:`slm.transformer.Transformer`."""
    match name.split("."):
        case ["layers", layer, *part, "weight"]:
            return f"blk.{layer}.{NAMES['.'.join(part)]}.weight"
        case ["embed_tokens", "weight"]:
            return "token_embd.weight"
        case ["norm", "weight"]:
            return "output_norm.weight"
    raise ValueError(f"no weight of a model here: {name}")


def write_gguf(model: TrainedModel, path: Path, weight_type: WeightType) -> None:
    """Write the file whole or not at all; norms are F32.

    Raises SlmError: something is there already; a weight is not finite, or too large for ``fp16``.
    """
    if path.exists():
        raise SlmError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_gguf(path, "llama") as writer:
        _add_shape(writer, model)
        _add_vocabulary(writer, model)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32 if weight_type == "f32" else gguf.LlamaFileType.MOSTLY_F16)
        for name, values in _weights(model, weight_type):
            writer.add_tensor(name, values)


@contextmanager
def new_gguf(path: Path, architecture: str) -> Iterator[gguf.GGUFWriter]:
    """A writer of keys and tensors. The file is there whole at the end of the block; not at all if that fails."""
    begun = path.with_name(f".{path.name}.begun")
    writer = gguf.GGUFWriter(begun, architecture)
    try:
        yield writer
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        begun.rename(path)
    finally:
        begun.unlink(missing_ok=True)


def _add_shape(writer: gguf.GGUFWriter, model: TrainedModel) -> None:
    architecture = model.architecture
    writer.add_name(model.name)
    writer.add_vocab_size(architecture.vocab_size)
    writer.add_context_length(architecture.max_position_embeddings)
    writer.add_embedding_length(architecture.hidden_size)
    writer.add_block_count(architecture.num_layers)
    writer.add_feed_forward_length(architecture.intermediate_size)
    writer.add_head_count(architecture.num_attention_heads)
    writer.add_head_count_kv(architecture.num_key_value_heads)
    writer.add_layer_norm_rms_eps(architecture.norm_epsilon)
    writer.add_rope_dimension_count(architecture.head_dim)
    writer.add_rope_freq_base(architecture.rope_theta)


def _add_vocabulary(writer: gguf.GGUFWriter, model: TrainedModel) -> None:
    """Rows of the embedding behind the vocabulary's tokens get names that no text spells."""
    vocabulary = model.vocabulary
    unused = [f"[unused{number}]" for number in range(model.architecture.vocab_size - len(vocabulary.tokens))]
    types = [gguf.TokenType.CONTROL if one in CONTROLS else gguf.TokenType.NORMAL for one in vocabulary.tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([*vocabulary.tokens, *unused])
    writer.add_token_types([*types, *(gguf.TokenType.UNUSED for _ in unused)])
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(vocabulary.tokens.index(END_OF_TEXT))
    writer.add_eos_token_id(vocabulary.tokens.index(END_OF_TEXT))
    writer.add_eot_token_id(vocabulary.tokens.index(TURN_ENDS))
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def _weights(model: TrainedModel, weight_type: WeightType) -> Iterator[tuple[str, npt.NDArray[np.floating]]]:
    for name, weight in model.transformer.state_dict().items():
        values: npt.NDArray[np.floating] = weight.float().numpy()
        if not np.isfinite(values).all():
            raise SlmError(f"{name} holds NaN or infinities: the training did not go well")
        if weight_type == "fp16" and values.ndim == 2:
            if np.abs(values).max() > _LARGEST_F16:
                raise SlmError(f"{name} holds weights beyond 16 bits: export f32")
            values = values.astype(np.float16)
        yield gguf_name(name), values
