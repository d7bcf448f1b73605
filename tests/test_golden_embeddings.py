"""Vectors of texts are those that llama.cpp pools: of a tiny random model of every architecture, and of SmolLM2."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import _core
from engine.artifact.content_hash import file_sha256
from engine.text.tokenizer import Tokenizer
from tests.golden.embedding_data import (
    POOLINGS,
    compared,
    cosine_distances,
    encoder_poolings,
    largest_difference,
    read_head,
    read_vectors,
    real_texts,
    token_texts,
)
from tests.golden.embedding_report import engine_vectors
from tests.golden.tiny_cases import weights_digest
from tests.support import encoder_models
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.real_models import allowed_cpus, fast_kernel_table

HEAD = read_head()


@pytest.mark.parametrize("case", CASES)
def test_tiny_models_vectors_are_llama_cpps(case: str, tmp_path: Path) -> None:
    """If the last bits of a float choose an expert, a token may take another one."""
    experts = "experts" in CASES[case]
    path = write_architecture_model(tmp_path / "tiny.gguf", **CASES[case])
    assert weights_digest(path) == HEAD["weights"][case], "the factory changed: run tests.golden.make_embeddings"
    model = _core.Model.load(str(path), fast_kernel_table(), 1)
    kept = compared(CASES[case])
    poolings = [read_vectors(case, pooling)[kept] for pooling in POOLINGS]
    for pooling, expected in zip(POOLINGS, poolings, strict=True):
        ours = engine_vectors(model, token_texts(model.vocab_size), pooling)[kept]
        assert cosine_distances(ours, expected).max() <= (1e-5 if experts else 1e-6)
        assert largest_difference(ours, expected) <= (1e-2 if experts else 5e-3)
    # What is held apart lies far apart: no pooling could pass for another.
    for other in poolings[1:]:
        assert cosine_distances(poolings[0], other)[-1] > 0.01


@pytest.mark.parametrize("case", encoder_models.CASES)
def test_encoders_vectors_and_scores_are_llama_cpps(case: str, tmp_path: Path) -> None:
    path = encoder_models.write_encoder_model(tmp_path / "tiny.gguf", **encoder_models.CASES[case])
    assert weights_digest(path) == HEAD["weights"][case], "the factory changed: run tests.golden.make_embeddings"
    model = _core.Model.load(str(path), fast_kernel_table(), 1)
    for pooling in encoder_poolings(encoder_models.CASES[case]):
        ours, expected = engine_vectors(model, token_texts(model.vocab_size), pooling), read_vectors(case, pooling)
        assert largest_difference(ours, expected) <= 5e-3
        assert pooling == "rank" or cosine_distances(ours, expected).max() <= 1e-6


def test_smollm2_reads_texts_as_llama_cpp_does(smollm2_path: Path) -> None:
    tokenizer = Tokenizer(_core.GgufFile(str(smollm2_path)))
    assert [tokenizer.encode(text, parse_special=True) for text in real_texts()] == HEAD["token_ids"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_smollm2s_vectors_are_no_further_from_its_weights_than_llama_cpps(pooling: str, smollm2_path: Path) -> None:
    """Weights have 4 bits and inputs 8 in both, so each is off: held against llama.cpp on the weights in F32."""
    assert file_sha256(smollm2_path) == HEAD["model_sha256"], "another file than the golden data was made with"
    model = _core.Model.load(str(smollm2_path), fast_kernel_table(), allowed_cpus())
    ours = engine_vectors(model, HEAD["token_ids"], pooling, allowed_cpus())
    theirs, plain = read_vectors("smollm2", pooling), read_vectors("smollm2_f32", pooling)
    assert cosine_distances(ours, plain).mean() <= cosine_distances(theirs, plain).mean()
    assert cosine_distances(ours, theirs).max() <= 0.01
