"""Vectors of texts: pooled hidden states, the same bits in any company, on every kernel table and number of threads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.csrc.cancelling import cancel_when_begun
from tests.csrc.test_architecture_determinism import THREADS, model_of
from tests.support.blocks import Floats
from tests.support.encoder_models import CASES, write_encoder_model
from tests.support.gguf_factory import write_tiny_model
from tests.support.held_bits import KINDS
from tests.support.kernel_tables import ALL_TABLES, REFERENCE, UNIT, assert_same_bits, ways_of
from tests.support.tiny_models import slow_model, tiny_model, tiny_path, tiny_prompt

pytestmark = pytest.mark.slow

POOLINGS = ("mean", "cls", "last")
LENGTHS = (70, 1, 17, 5, 64, 2)
TEXTS = [tiny_prompt(length, seed=length) for length in LENGTHS]


def embedding(model: _core.Model, texts: Sequence[Sequence[int]] = TEXTS, **options: Any) -> _core.TextEmbedding:
    return _core.TextEmbedding(model, texts, **{"pooling": "mean", "normalize": False, "threads": 1, **options})


def vectors(model: _core.Model, texts: Sequence[Sequence[int]] = TEXTS, **options: Any) -> Floats:
    made = embedding(model, texts, **options)
    made.run()
    return made.vectors


def alone(model: _core.Model, text: Sequence[int], **options: Any) -> Floats:
    (vector,) = vectors(model, [text], **options)
    return np.asarray(vector)


def states_of(model: _core.Model, text: Sequence[int]) -> Floats:
    """[tokens, dimension]: each token's hidden state is the last one of the text up to it."""
    return np.stack([alone(model, text[: end + 1], pooling="last") for end in range(len(text))])


def test_hidden_states_are_what_the_head_reads() -> None:
    path = tiny_path("llama", "F32", tied=False)
    model, text = tiny_model("llama", "F32", tied=False), TEXTS[2]
    head = next(tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == "output.weight")
    (logits,) = model.logits([text])
    states = states_of(model, text).astype(np.float64)
    np.testing.assert_allclose(states @ head.data.T.astype(np.float64), logits, atol=1e3 * UNIT)
    assert logits.std() > 0.1  # of numbers larger than their errors


@pytest.mark.parametrize("table", ALL_TABLES)
def test_poolings_are_their_formulas_over_hidden_states(table: str) -> None:
    model, text = tiny_model("qwen2", "Q4_1", table), TEXTS[2]
    states = states_of(model, text)
    sums = np.zeros(states.shape[1])
    for state in states:  # one after the other, in doubles
        sums += state
    assert_same_bits(alone(model, text), (sums / len(text)).astype(np.float32))
    assert_same_bits(alone(model, text, pooling="last"), states[-1])
    assert_same_bits(alone(model, text, pooling="cls"), states[0])


@pytest.mark.parametrize("pooling", POOLINGS)
def test_normalized_vectors_are_divided_by_their_length(pooling: str) -> None:
    model, text = tiny_model(), TEXTS[2]
    raw = alone(model, text, pooling=pooling).astype(np.float64)
    normalized = alone(model, text, pooling=pooling, normalize=True)
    # The mean is divided before it is rounded to a float, so its last bit may differ from that of the quotient here.
    np.testing.assert_allclose(normalized, raw / np.sqrt(np.square(raw).sum()), rtol=4 * UNIT)
    assert np.square(normalized.astype(np.float64)).sum() == pytest.approx(1.0, abs=8 * UNIT)
    assert np.square(raw).sum() > 2.0


@functools.cache
def scalar_vectors(case: str, tensor_type: str) -> Floats:
    """Each text's, computed alone by the scalar table."""
    return np.stack([alone(model_of(case, tensor_type, REFERENCE), text, normalize=True) for text in TEXTS])


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("tensor_type", ["Q8_0", "Q4_K"])
@pytest.mark.parametrize("case", KINDS)
def test_threads_steps_and_company_change_no_bit(case: str, tensor_type: str, table: str) -> None:
    model = model_of(case, tensor_type, table)
    expected = scalar_vectors(case, tensor_type)
    assert np.isfinite(expected).all()
    for threads in ways_of(table, THREADS):
        assert_same_bits(vectors(model, normalize=True, threads=threads), expected)
    steps = ((1, 1, 1), (7, 2, 1), (40, 3, 2), (64, 16, 2), (10_000, 4, 1))
    for step_tokens, side_by_side, threads in ways_of(table, steps):
        step: dict[str, Any] = {"step_tokens": step_tokens, "side_by_side": side_by_side, "threads": threads}
        assert_same_bits(vectors(model, normalize=True, **step), expected)


@pytest.mark.parametrize("kv_cache", ["f16", "q8_0"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_and_cache_is_the_same_in_company(pooling: str, kv_cache: str) -> None:
    model = tiny_model("llama", "Q8_0", n_head=2, n_head_kv=1)
    options: dict[str, Any] = {"pooling": pooling, "kv_cache": kv_cache}
    expected = np.stack([alone(model, text, **options) for text in TEXTS])
    for step_tokens, side_by_side in ((3, 1), (50, 2), (256, 32)):
        assert_same_bits(vectors(model, step_tokens=step_tokens, side_by_side=side_by_side, **options), expected)


@pytest.mark.parametrize("side_by_side", [1, 2, 6])
def test_each_text_has_the_factors_of_its_own_length(side_by_side: int) -> None:
    """Long ones from 65 tokens on, whichever texts stand beside it or were in its cache before."""
    model = model_of("phi3_long", "Q8_0", REFERENCE)
    expected = np.stack([alone(model, text) for text in TEXTS])
    assert_same_bits(vectors(model, side_by_side=side_by_side), expected)
    always_short = model_of("phi3_short", "Q8_0", REFERENCE)  # of the same weights
    long = [bool((alone(always_short, text) != vector).any()) for text, vector in zip(TEXTS, expected, strict=True)]
    assert long == [length > 64 for length in LENGTHS]


def test_the_order_of_texts_is_the_order_of_vectors() -> None:
    assert_same_bits(vectors(tiny_model(), TEXTS[::-1]), np.ascontiguousarray(vectors(tiny_model())[::-1]))


def test_no_texts_have_no_vectors() -> None:
    assert vectors(tiny_model(), []).shape == (0, 64)


@pytest.mark.parametrize(
    ("texts", "longest", "step_tokens", "side_by_side", "positions"),
    [
        (1, 1, 256, 32, 64),
        (1, 65, 256, 32, 128),
        (5, 65, 256, 1, 128),
        (2, 65, 256, 32, 128 + 64 + 256),
        (100, 64, 100, 4, 64 + 3 * 64 + 128),
    ],
)
def test_caches_hold_one_long_text_and_a_step_of_others(
    texts: int, longest: int, step_tokens: int, side_by_side: int, positions: int
) -> None:
    assert (
        _core.TextEmbedding.kv_positions(texts, longest, step_tokens=step_tokens, side_by_side=side_by_side)
        == positions
    )


def test_progress_counts_tokens() -> None:
    made = embedding(tiny_model())
    assert made.progress() == (0, sum(LENGTHS))
    made.run()
    assert made.progress() == (sum(LENGTHS), sum(LENGTHS))


@pytest.mark.parametrize("step_tokens", [1, 64])
def test_a_cancelled_embedding_has_no_vectors(step_tokens: int) -> None:
    made = embedding(tiny_model(), step_tokens=step_tokens)
    made.cancel()
    with pytest.raises(_core.CancelledError, match="cancelled"):
        made.run()
    assert made.progress()[0] == 0
    with pytest.raises(RuntimeError, match="not been run to its end"):
        _ = made.vectors


def test_a_running_embedding_is_seen_and_cancelled_from_another_thread() -> None:
    cancel_when_begun(embedding(slow_model(), [tiny_prompt(2000)] * 50))


def test_an_embedding_runs_once() -> None:
    made = embedding(tiny_model())
    made.run()
    with pytest.raises(RuntimeError, match="runs once"):
        made.run()
    assert made.vectors.shape == (len(TEXTS), 64)


def overflowing_model(path: Path, value: float) -> _core.Model:
    """One whose final norm has this, which is finite."""
    write_tiny_model(path)
    norm = next(tensor for tensor in gguf.GGUFReader(path, "r+").tensors if tensor.name == "output_norm.weight")
    norm.data[:] = value
    return _core.Model.load(str(path), "reference", 1)


@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_states_that_are_not_finite_end_it(tmp_path: Path, pooling: str, value: float) -> None:
    overflowing = embedding(overflowing_model(tmp_path / "overflowing.gguf", value), pooling=pooling)
    with pytest.raises(_core.NonFiniteResultError, match="text 0: the output gave values that are not finite"):
        overflowing.run()


@pytest.mark.parametrize(
    ("case", "tensor", "pooling"),
    [("gemma_embedding", "dense_2.weight", "mean"), ("reranker", "cls.output.bias", "rank")],
)
def test_what_is_computed_behind_the_layers_is_finite_too(case: str, tensor: str, pooling: str, tmp_path: Path) -> None:
    write_encoder_model(tmp_path / "overflowing.gguf", **CASES[case])
    for one in gguf.GGUFReader(tmp_path / "overflowing.gguf", "r+").tensors:
        if one.name == tensor:
            one.data[:] = np.float32(3.4e38)
        if one.name == "cls.output.weight":
            one.data[:] = np.copysign(np.float32(1e38), one.data)
    model = _core.Model.load(str(tmp_path / "overflowing.gguf"), "reference", 1)
    overflowing = embedding(model, [[5, 6, 7, 8]], pooling=pooling)
    with pytest.raises(_core.NonFiniteResultError, match="text 0: the output gave values that are not finite"):
        overflowing.run()


def test_a_vector_of_zeros_has_no_direction_and_stays(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "zero.gguf")
    for tensor in gguf.GGUFReader(tmp_path / "zero.gguf", "r+").tensors:
        if tensor.name == "output_norm.weight":
            tensor.data[:] = 0.0
    model = _core.Model.load(str(tmp_path / "zero.gguf"), "reference", 1)
    assert not vectors(model, normalize=True).any()


@pytest.mark.parametrize(
    ("texts", "options", "match"),
    [
        ([[1], []], {}, "text 1 has no tokens"),
        ([[1] * 257], {}, "257 tokens, beyond the model's context of 256"),
        ([[1, -1]], {}, "token -1 is not in the model's vocabulary"),
        ([[1_000_000]], {}, "token 1000000"),
        ([[1]], {"threads": 0}, "threads"),
        ([[1]], {"step_tokens": 0}, "step_tokens"),
        ([[1]], {"side_by_side": 0}, "side_by_side"),
        ([[1]], {"pooling": "most"}, "no pooling is named 'most'"),
        ([[1]], {"kv_cache": "q8_0"}, "multiple of 32"),
        ([[1]], {"kv_cache": "f32"}, "f32"),
    ],
)
def test_what_cannot_be_embedded_is_refused_at_once(
    texts: list[list[int]], options: dict[str, object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        embedding(tiny_model(), texts, **options)


def test_a_text_may_fill_the_context() -> None:
    text = tiny_prompt(256)
    longest: npt.NDArray[np.float32] = alone(tiny_model(), text)
    assert_same_bits(alone(tiny_model(), text, step_tokens=100), longest)
