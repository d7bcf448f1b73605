"""Whole vocabularies of real models: the ids that each model's own tokenizer gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import _core
from engine.text.tokenizer import Tokenizer
from tests.support.outside_data import llama_cpp_models, outside_data

_SEPARATOR = "\n__ggml_vocab_test__\n"


def assert_own_ids(path: Path) -> None:
    # Opened in binary: several texts hold carriage returns.
    texts = path.with_name(path.name + ".inp").read_bytes().decode().split(_SEPARATOR)
    lines = path.with_name(path.name + ".out").read_text(encoding="ascii").split("\n")
    tokenizer = Tokenizer(_core.GgufFile(str(path)))
    assert len(texts) > 40
    for text, line in zip(texts, lines, strict=False):
        ids = [int(field) for field in line.split()]
        assert tokenizer.encode(text, add_special=False) == ids, repr(text)


@pytest.mark.parametrize("family", ["llama-spm", "llama-bpe", "qwen2", "gpt-2", "starcoder", "falcon"])
def test_every_text_gives_exactly_its_ids(family: str) -> None:
    assert_own_ids(outside_data("vocab") / f"ggml-vocab-{family}.gguf")


@pytest.mark.parametrize(
    "family", ["command-r", "deepseek-coder", "deepseek-llm", "gemma-4", "mpt", "phi-3", "qwen35", "refact"]
)
def test_every_text_gives_exactly_its_ids_in_further_families(family: str) -> None:
    assert_own_ids(llama_cpp_models() / f"ggml-vocab-{family}.gguf")
