"""Predictions of a text, window by window: what the logits say, on every kernel table and any number of threads."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.csrc.cancelling import cancel_when_begun
from tests.support.gguf_factory import write_tiny_model
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, UNIT, assert_same_bits
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt

Doubles = npt.NDArray[np.float64]

BOS = 1
WINDOW = 32
TEXT = tiny_prompt(3 * WINDOW + 5, seed=3)
FIGURES = ("nll", "base_nll", "divergence", "same_best")


def evaluation(
    model: _core.Model,
    base: _core.Model | None = None,
    tokens: list[int] = TEXT,
    *,
    window: int = WINDOW,
    threads: int = 1,
    bos: int | None = BOS,
) -> _core.TextEvaluation:
    return _core.TextEvaluation(model, base, tokens, window=window, threads=threads, bos=bos)


def evaluated(model: _core.Model, base: _core.Model | None = None, **options: object) -> _core.TextEvaluation:
    made = evaluation(model, base, **options)  # type: ignore[arg-type]
    made.run()
    return made


def log_probabilities(model: _core.Model, window: int, bos: int | None) -> Doubles:
    """Exact logits after each scored position: [positions, vocabulary]."""
    positions = []
    for begin in range(0, len(TEXT) // window * window, window):
        tokens = TEXT[begin : begin + window]
        tokens[0] = tokens[0] if bos is None else bos
        (logits,) = model.logits([tokens])
        positions.append(logits[window // 2 : -1].astype(np.float64))
    logits = np.concatenate(positions)
    largest = logits.max(axis=1, keepdims=True)
    return np.asarray(logits - largest - np.log(np.exp(logits - largest).sum(axis=1, keepdims=True)))


def next_tokens(window: int) -> list[int]:
    return [
        token
        for begin in range(0, len(TEXT) // window * window, window)
        for token in TEXT[begin + window // 2 + 1 : begin + window]
    ]


# Weights are good to a few units of a float, and those of these models are all of similar size.
TOLERANCE = 16 * UNIT


@pytest.mark.parametrize("bos", [None, BOS])
@pytest.mark.parametrize("window", [8, 9, 32, 33, len(TEXT)])
@pytest.mark.parametrize("table", ALL_TABLES)
def test_scores_are_what_the_logits_say(table: str, window: int, bos: int | None) -> None:
    model, base = tiny_model("llama", "Q4_1", table), tiny_model("llama", "F32", table)
    scores = evaluated(model, base, window=window, bos=bos)
    ours, theirs = log_probabilities(model, window, bos), log_probabilities(base, window, bos)
    at = np.arange(len(ours)), next_tokens(window)
    assert len(scores.nll) == len(TEXT) // window * (window - 1 - window // 2)
    np.testing.assert_allclose(scores.nll, -ours[at], rtol=TOLERANCE)
    np.testing.assert_allclose(scores.base_nll, -theirs[at], rtol=TOLERANCE)  # type: ignore[arg-type]
    divergence = (np.exp(theirs) * (theirs - ours)).sum(axis=1)
    assert divergence.min() > 100 * TOLERANCE  # of numbers larger than their errors
    np.testing.assert_allclose(scores.divergence, divergence, atol=TOLERANCE)  # type: ignore[arg-type]
    assert scores.same_best is not None
    np.testing.assert_array_equal(scores.same_best, ours.argmax(axis=1) == theirs.argmax(axis=1))
    assert scores.same_best.dtype == np.bool_


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_table_and_number_of_threads_gives_the_same_bits(table: str, threads: int) -> None:
    expected = evaluated(tiny_model("qwen2", "Q4_1"), tiny_model("qwen2", "Q8_0"))
    same = evaluated(tiny_model("qwen2", "Q4_1", table), tiny_model("qwen2", "Q8_0", table), threads=threads)
    for figure in FIGURES:
        assert_same_bits(getattr(same, figure), getattr(expected, figure))


def test_models_on_different_tables_are_compared_as_if_on_one() -> None:
    expected = evaluated(tiny_model("llama", "Q4_1"), tiny_model("llama", "F32"))
    for param in FAST_TABLES:
        (table,) = param.values
        if not _core.kernel_tables()[table]:
            mixed = evaluated(tiny_model("llama", "Q4_1", table), tiny_model("llama", "F32", REFERENCE))
            for figure in FIGURES:
                assert_same_bits(getattr(mixed, figure), getattr(expected, figure))


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_model_does_not_depart_from_itself(table: str) -> None:
    model = tiny_model("llama", "Q4_1", table)
    scores = evaluated(model, model, threads=2)
    assert scores.divergence is not None
    assert scores.same_best is not None
    assert not scores.divergence.any()
    assert scores.same_best.all()
    assert_same_bits(scores.nll, scores.base_nll)  # type: ignore[arg-type]


def test_without_a_base_there_is_nothing_to_compare() -> None:
    alone = evaluated(tiny_model())
    assert (alone.base_nll, alone.divergence, alone.same_best) == (None, None, None)
    assert_same_bits(alone.nll, evaluated(tiny_model(), tiny_model("llama", "F32")).nll)


def test_each_window_begins_anew() -> None:
    """A window's scores do not depend on the one before it."""
    both = evaluated(tiny_model(), bos=None).nll
    for window in range(3):
        alone = evaluated(tiny_model(), tokens=TEXT[window * WINDOW : (window + 1) * WINDOW], bos=None).nll
        assert_same_bits(both.reshape(3, -1)[window], alone)


def test_tokens_beyond_the_last_window_do_not_count() -> None:
    assert_same_bits(evaluated(tiny_model()).nll, evaluated(tiny_model(), tokens=TEXT[: 3 * WINDOW]).nll)


def test_progress_ends_with_every_window_done() -> None:
    made = evaluation(tiny_model())
    assert made.progress() == (0, 3)
    made.run()
    assert made.progress() == (3, 3)


@pytest.mark.parametrize("window", [8, WINDOW])
def test_a_cancelled_evaluation_has_no_scores(window: int) -> None:
    made = evaluation(tiny_model(), window=window)
    made.cancel()
    with pytest.raises(_core.CancelledError, match="cancelled"):
        made.run()
    assert made.progress()[0] == 0
    with pytest.raises(RuntimeError, match="not been run to its end"):
        _ = made.nll


def test_a_running_evaluation_is_seen_and_cancelled_from_another_thread() -> None:
    cancel_when_begun(evaluation(tiny_model(), tokens=tiny_prompt(2000 * WINDOW)))


def test_an_evaluation_runs_once() -> None:
    made = evaluated(tiny_model())
    with pytest.raises(RuntimeError, match="runs once"):
        made.run()
    assert len(made.nll) == 3 * (WINDOW // 2 - 1)


def test_scores_are_there_only_after_the_run() -> None:
    made = evaluation(tiny_model(), tiny_model())
    for figure in FIGURES:
        with pytest.raises(RuntimeError, match="not been run to its end"):
            getattr(made, figure)


def overflowing_model(path: Path, row: int) -> _core.Model:
    """One whose logits of one token are infinite, below or above."""
    write_tiny_model(path, tied=False, head_type="F32")
    head = next(tensor for tensor in gguf.GGUFReader(path, "r+").tensors if tensor.name == "output.weight")
    head.data[row] = np.sign(head.data[row]) * 3.4e38
    return _core.Model.load(str(path), "reference", 1)


@pytest.mark.parametrize("row", [0, -1])
def test_logits_that_are_not_finite_end_it(tmp_path: Path, row: int) -> None:
    overflowing = overflowing_model(tmp_path / "overflowing.gguf", row)
    sound = tiny_model("llama", "F32", tied=False)
    with pytest.raises(_core.NonFiniteResultError, match=r"window 0 of the text: the output gave .* at position 16"):
        evaluation(overflowing).run()
    with pytest.raises(_core.NonFiniteResultError, match="window 0 of the text, read by the base: the output gave"):
        evaluation(sound, overflowing).run()


def other_vocabulary(path: Path) -> _core.Model:
    """A vocabulary of equal size with one token spelt differently is refused."""
    write_tiny_model(path)
    tokens = gguf.GGUFReader(path, "r+").fields["tokenizer.ggml.tokens"]
    tokens.parts[tokens.data[-1]][0] ^= 1
    return _core.Model.load(str(path), "reference", 1)


def test_models_of_different_vocabularies_are_not_compared(tmp_path: Path) -> None:
    for other in (tiny_model(vocabulary="spm"), other_vocabulary(tmp_path / "other.gguf")):
        with pytest.raises(ValueError, match="different vocabularies"):
            evaluation(tiny_model(), other, tokens=[1] * WINDOW)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tokens": TEXT[: WINDOW - 1]}, "31 tokens, and one window 32"),
        ({"tokens": []}, "0 tokens"),
        ({"window": 0}, "at least 8"),
        ({"window": 7}, "at least 8"),
        ({"window": 257, "tokens": [1] * 300}, "beyond the model's context of 256"),
        ({"threads": 0}, "threads"),
        ({"bos": 1_000_000}, "BOS token 1000000"),
        ({"bos": -1}, "BOS token -1"),
        ({"tokens": [*TEXT, -1]}, "token -1"),
        ({"tokens": [*TEXT, 1_000_000]}, "token 1000000"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_once(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        evaluation(tiny_model(), **options)  # type: ignore[arg-type]


def test_a_base_with_a_smaller_context_is_refused() -> None:
    small = _core.Model.load(str(tiny_path("llama", "F32", context_length=16)), "reference", 1)
    with pytest.raises(ValueError, match="context of 16"):
        evaluation(tiny_model(), small)
