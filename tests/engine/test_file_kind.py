"""Files that no model can be run from are named as what they are, and tokenize where they hold a vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from engine.artifact.artifact import ModelArtifact
from engine.config import EngineConfig
from engine.models.registry import ModelRegistry
from protocol.errors import UnsupportedModel
from tests.support.gguf_factory import new_gguf, write_tiny_model
from tests.support.gguf_vocabulary import add_vocabulary, tiny_bpe

FOREIGN = ("NVFP4", "Q1_0", "Q8_K")


def opened(path: Path) -> ModelArtifact:
    return ModelRegistry(EngineConfig(path.parent, path.parent / "cache", path.parent)).resolve(str(path))


def projector(writer: gguf.GGUFWriter) -> None:
    writer.add_string("general.type", "mmproj")


def old_projector(writer: gguf.GGUFWriter) -> None:
    writer.add_bool("clip.has_vision_encoder", True)


def adapter(writer: gguf.GGUFWriter) -> None:
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")


def importance(writer: gguf.GGUFWriter) -> None:
    writer.add_string("general.type", "imatrix")


@pytest.mark.parametrize(
    ("architecture", "keys", "told"),
    [
        ("clip", projector, "is a projector and no model: .* name the model's own file"),
        ("clip", old_projector, "is a projector and no model"),
        ("llama", adapter, "is a LoRA adapter and no model: merge it"),
        ("llama", importance, "is an importance matrix and no model"),
    ],
)
def test_what_is_no_model_is_named(
    architecture: str, keys: Callable[[gguf.GGUFWriter], None], told: str, tmp_path: Path
) -> None:
    with new_gguf(tmp_path / "file.gguf", architecture) as writer:
        keys(writer)
        writer.add_tensor("blk.0.attn_q.weight.lora_a", np.zeros((4, 32), np.float32))
    artifact = opened(tmp_path / "file.gguf")
    for need in (artifact.require_runnable, lambda: artifact.tokenizer):
        with pytest.raises(UnsupportedModel, match=told):
            need()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_vocabulary_is_of_use_whatever_type_the_weights_are_in(name: str, tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    with new_gguf(tmp_path / "file.gguf", "llama") as writer:
        add_vocabulary(writer, tiny_bpe(), "smollm")
        blocks = np.zeros((8, 256 // elements * size), np.uint8)
        writer.add_tensor("blk.0.attn_q.weight", blocks, raw_dtype=kind)
        writer.add_tensor("blk.0.attn_norm.weight", np.zeros(256, np.float32))
    artifact = opened(tmp_path / "file.gguf")
    whole = opened(write_tiny_model(tmp_path / "whole.gguf"))
    assert artifact.tokenizer.encode("Hello there") == whole.tokenizer.encode("Hello there")
    assert artifact.stored_types == ("F32", name)
    assert artifact.parameters_total == 8 * 256 + 256
    with pytest.raises(UnsupportedModel, match=rf"{name} \(1 tensors\).*another quantization") as refused:
        artifact.facts()
    assert refused.value.params["types"] == [name]


def test_spm_scores_may_be_whole_or_absent(tmp_path: Path) -> None:
    def with_scores(name: str, scores: list[int] | list[float] | None) -> list[int]:
        tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab", "abb", "bb", "▁"]
        with new_gguf(tmp_path / name, "llama") as writer:
            writer.add_tokenizer_model("llama")
            writer.add_token_list(tokens)
            writer.add_token_types([2, 3, 3, 1, 1, 1, 1, 1, 1])
            writer.add_add_space_prefix(False)
            if scores is not None:
                writer.add_array("tokenizer.ggml.scores", scores)
        return opened(tmp_path / name).tokenizer.encode("abb", add_special=False)

    assert with_scores("whole.gguf", [0, 0, 0, 0, 0, 1, 3, 2, 0]) == with_scores(
        "real.gguf", [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 2.0, 0.0]
    )
    assert with_scores("none.gguf", None) == [6]
