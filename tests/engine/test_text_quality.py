from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from engine.operations.text_quality import UnboundedPerplexityError, text_quality
from protocol.evaluation import Comparison

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    nll: Doubles
    base_nll: Doubles | None = None
    divergence: Doubles | None = None
    same_best: npt.NDArray[np.bool_] | None = None


def make_scores(positions: int, seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    base = random.exponential(3.0, positions)
    return Scores(
        nll=np.abs(base + random.normal(0.0, 0.1, positions)),
        base_nll=base,
        divergence=random.exponential(0.01, positions),
        same_best=random.random(positions) < 0.9,
    )


def comparison(scores: Scores) -> Comparison:
    compared = text_quality(scores).against_base
    assert compared is not None
    return compared


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    quality = text_quality(Scores(np.log([2.0, 8.0])))
    assert quality.perplexity == pytest.approx(4.0)
    assert quality.positions == 2
    assert quality.against_base is None


def test_its_error_is_that_of_the_mean_times_the_perplexity() -> None:
    scores = make_scores(1000)
    quality = text_quality(scores)
    expected = quality.perplexity * scores.nll.std() / math.sqrt(999)
    assert quality.perplexity_error == pytest.approx(expected)


def test_a_certain_prediction_has_no_error() -> None:
    quality = text_quality(Scores(np.zeros(10)))
    assert (quality.perplexity, quality.perplexity_error) == (1.0, 0.0)


def test_a_model_against_its_base() -> None:
    scores = make_scores(1000)
    assert scores.base_nll is not None
    assert scores.divergence is not None
    assert scores.same_best is not None
    quality, against = text_quality(scores), comparison(scores)
    alone = text_quality(Scores(scores.base_nll))
    assert (against.base_perplexity, against.base_perplexity_error) == (alone.perplexity, alone.perplexity_error)
    ratio = quality.perplexity / against.base_perplexity
    assert against.log_perplexity_difference == pytest.approx(math.log(ratio))
    paired = (scores.nll - scores.base_nll).std() / math.sqrt(999)
    assert against.log_perplexity_difference_error == pytest.approx(paired)
    assert against.divergence_mean == pytest.approx(scores.divergence.mean())
    assert against.divergence_error == pytest.approx(scores.divergence.std() / math.sqrt(999))
    assert against.same_best == scores.same_best.mean()
    share = float(scores.same_best.mean())
    assert against.same_best_error == pytest.approx(math.sqrt(share * (1 - share) / 999))


def test_tokens_both_find_hard_leave_the_difference_certain() -> None:
    scores = make_scores(1000)
    assert scores.base_nll is not None
    against = comparison(Scores(scores.base_nll + 0.25, scores.base_nll, scores.divergence, scores.same_best))
    assert against.log_perplexity_difference == pytest.approx(0.25)
    assert against.log_perplexity_difference_error < 1e-9 < against.base_perplexity_error


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (1000, (500, 900, 990, 999, 1000)),
        (1001, (501, 901, 991, 1000, 1001)),
        (10, (5, 9, 10, 10, 10)),
        (2, (1, 2, 2, 2, 2)),
    ],
)
def test_percentiles_are_by_nearest_rank(positions: int, expected: tuple[int, ...]) -> None:
    ranks = np.random.default_rng(1).permutation(np.arange(1.0, positions + 1))
    against = comparison(Scores(ranks, ranks, ranks, np.ones(positions, np.bool_)))
    assert expected == (
        against.divergence_p50,
        against.divergence_p90,
        against.divergence_p99,
        against.divergence_p999,
        against.divergence_max,
    )


def test_figures_do_not_depend_on_the_order_of_positions() -> None:
    scores = make_scores(10_000)
    assert scores.base_nll is not None
    assert scores.divergence is not None
    assert scores.same_best is not None
    order = np.random.default_rng(2).permutation(10_000)
    shuffled = Scores(scores.nll[order], scores.base_nll[order], scores.divergence[order], scores.same_best[order])
    assert text_quality(shuffled) == text_quality(scores)


@pytest.mark.parametrize("nll", [[710.0, 710.0], [0.0, 6e38], [0.0, 1419.0]])
def test_a_perplexity_beyond_all_floats_is_refused(nll: list[float]) -> None:
    with pytest.raises(UnboundedPerplexityError, match="e to the power of"):
        text_quality(Scores(np.array(nll)))
