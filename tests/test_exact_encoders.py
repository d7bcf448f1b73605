"""Models that read texts whole, against the same in float64; and the same bits by every kernel, thread and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.golden.exact.encoder import ExactEncoder
from tests.support.encoder_models import CASES, write_encoder_model
from tests.support.held_bits import ENCODERS
from tests.support.kernel_tables import ALL_TABLES, assert_same_bits
from tests.support.real_models import fast_kernel_table

LENGTHS = (1, 2, 9, 70, 300)
BEYOND_A_SPLIT = 560
_POOLINGS = {1: "mean", 2: "cls", 4: "rank"}


def texts_of(vocab_size: int, lengths: tuple[int, ...]) -> list[list[int]]:
    random = np.random.default_rng(3)
    return [random.integers(5, vocab_size, length).tolist() for length in lengths]


def vectors_of(model: _core.Model, texts: list[list[int]], pooling: str, **options: Any) -> npt.NDArray[np.float32]:
    embedding = _core.TextEmbedding(model, texts, pooling=pooling, **{"normalize": True, "threads": 2, **options})
    embedding.run()
    return embedding.vectors


@pytest.mark.parametrize("case", [case for case in CASES if case != "reranker"])
def test_vectors_are_those_of_float64(case: str, tmp_path: Path) -> None:
    """BERT's own GELU is that of the error function, the engine's its approximation by the hyperbolic tangent."""
    path = write_encoder_model(tmp_path / "tiny.gguf", **CASES[case])
    model, exact = _core.Model.load(str(path), fast_kernel_table(), 1), ExactEncoder(path)
    texts = texts_of(model.vocab_size, (*LENGTHS, BEYOND_A_SPLIT))
    for pooling in ("mean", "cls", "last"):
        ours = vectors_of(model, texts, pooling).astype(np.float64)
        cosines = [vector @ exact.vector(text, pooling) for vector, text in zip(ours, texts, strict=True)]
        assert min(cosines) >= 0.99999


def test_scores_are_those_of_float64(tmp_path: Path) -> None:
    path = write_encoder_model(tmp_path / "tiny.gguf", **CASES["reranker"])
    model, exact = _core.Model.load(str(path), fast_kernel_table(), 1), ExactEncoder(path)
    texts = texts_of(model.vocab_size, LENGTHS[1:])
    begins = [len(text) // 2 for text in texts]
    ours = vectors_of(model, texts, "rank", normalize=False, second_begins=begins)[:, 0]
    expected = [exact.score(text, begin) for text, begin in zip(texts, begins, strict=True)]
    assert ours == pytest.approx(expected, abs=2e-3)
    assert np.ptp(expected) > 0.1, "scores that differ"
    alone = vectors_of(model, texts, "rank", normalize=False)[:, 0]
    assert np.abs(alone - ours).max() > 1e-3, "the second text is told from the first"


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("case", "tensor_type"), ENCODERS)
def test_every_way_gives_the_same_bits(case: str, tensor_type: str, table: str, tmp_path: Path) -> None:
    path = write_encoder_model(tmp_path / "tiny.gguf", **{**CASES[case], "tensor_type": tensor_type})
    reference, model = (_core.Model.load(str(path), name, 1) for name in ("reference", table))
    texts = texts_of(model.vocab_size, (3, 17, 90, 1))
    for kv_cache in ("f16", "q8_0"):
        expected = vectors_of(reference, texts, "mean", threads=1, side_by_side=1, kv_cache=kv_cache)
        for threads, step_tokens, side_by_side in ((2, 256, 32), (3, 20, 2)):
            ways = {"threads": threads, "step_tokens": step_tokens, "side_by_side": side_by_side}
            assert_same_bits(vectors_of(model, texts, "mean", kv_cache=kv_cache, **ways), expected)


def test_what_reads_texts_whole_goes_on_with_none(tmp_path: Path) -> None:
    model = _core.Model.load(str(write_encoder_model(tmp_path / "tiny.gguf")), "reference", 1)
    with pytest.raises(ValueError, match="go on with none"):
        model.logits([[5, 6]])
    with pytest.raises(ValueError, match="no classifier"):
        vectors_of(model, [[5, 6]], "rank")
