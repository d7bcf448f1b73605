"""The order of an experiment, and the figures of its pairs."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Final

import pytest

from engine.experiments.paired_figures import paired_figure
from engine.experiments.schedule import is_baseline_first, schedule
from protocol.experiment import MeasuredPair

METRIC: Final = "tokens_per_sec"


def make_pair(number: int, log_ratio: float | None, *, undisturbed: bool | None = True) -> MeasuredPair:
    return MeasuredPair(
        pair=number,
        arm=1,
        input=0,
        baseline_first=True,
        baseline_execution=f"a{number}",
        candidate_execution=f"b{number}",
        undisturbed=undisturbed,
        same_output=True,
        log_ratios={METRIC: log_ratio},
        reasons={} if log_ratio is not None else {METRIC: "A: it is not known"},
    )


@pytest.mark.parametrize("inputs", [1, 2, 3, 8])
@pytest.mark.parametrize("candidates", [1, 2, 5])
def test_each_candidate_is_as_often_first_as_second_with_every_input(candidates: int, inputs: int) -> None:
    for candidate in range(1, candidates + 1):
        orders = Counter(
            (number % inputs, is_baseline_first(candidate, number, inputs)) for number in range(2 * inputs)
        )
        assert set(orders.values()) == {1}
        assert len(orders) == 2 * inputs


def test_every_pair_has_one_of_each_arm_side_by_side() -> None:
    runs = schedule(candidates=3, inputs=2, pairs=5, warm_up=2)
    assert [(run.arm, run.input) for run in runs[:8]] == [(arm, turn) for turn in range(2) for arm in range(4)]
    assert all(run.pair is None for run in runs[:8])
    halves = list(zip(runs[8::2], runs[9::2], strict=True))
    assert [first.pair for first, _ in halves] == list(range(15))
    for first, second in halves:
        assert (first.pair, first.input) == (second.pair, second.input)
        assert 0 in (first.arm, second.arm)
        assert first.arm != second.arm
    assert schedule(1, 1, 4, 0) == tuple(run for run in schedule(1, 1, 4, 3) if run.pair is not None)


def test_the_median_ratio_and_its_interval() -> None:
    figure = paired_figure(METRIC, [make_pair(number, value / 100) for number, value in enumerate(range(-3, 6))])
    assert figure.median_log_ratio == 0.01
    assert figure.median_ratio == pytest.approx(math.exp(0.01))
    # The second smallest and the second largest of nine values: 1 - 2 (1 + 9) / 512.
    assert figure.interval == pytest.approx((math.exp(-0.02), math.exp(0.04)))
    assert figure.confidence == pytest.approx(1 - 20 / 512)


@pytest.mark.parametrize(("count", "has_interval"), [(5, False), (6, True)])
def test_few_pairs_have_no_interval(count: int, has_interval: bool) -> None:
    figure = paired_figure(METRIC, [make_pair(number, 0.1) for number in range(count)])
    assert (figure.interval is not None, figure.reason is None) == (has_interval, has_interval)
    assert figure.median_ratio == pytest.approx(math.exp(0.1))


def test_an_interval_holds_the_median_as_often_as_it_says() -> None:
    numbers = random.Random(3)
    held, confidence = 0, 0.0
    for _ in range(2000):
        # Skewed, and its median is 0.
        pairs = [make_pair(number, numbers.expovariate(1.0) - math.log(2)) for number in range(12)]
        figure = paired_figure(METRIC, pairs)
        assert figure.interval is not None
        assert figure.confidence is not None
        held, confidence = held + (figure.interval[0] <= 1 <= figure.interval[1]), figure.confidence
    assert held / 2000 == pytest.approx(confidence, abs=0.015)


def test_disturbed_pairs_count_for_nothing() -> None:
    pairs = [make_pair(0, 0.1), make_pair(1, 5.0, undisturbed=False), make_pair(2, 0.3, undisturbed=None)]
    figure = paired_figure(METRIC, pairs)
    assert figure.pairs == 2
    assert figure.median_log_ratio == pytest.approx(0.2)


def test_memory_is_the_executions_own_whoever_has_the_cpu() -> None:
    pair = make_pair(0, 0.1, undisturbed=False).model_copy(update={"log_ratios": {"memory_peak_mb": 0.25}})
    assert paired_figure("memory_peak_mb", [pair]).median_log_ratio == 0.25


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([], "there is no whole pair"),
        ([make_pair(0, 0.1, undisturbed=False)], "every pair was disturbed"),
        ([make_pair(0, None)], "A: it is not known"),
    ],
)
def test_no_figure_has_its_reason(pairs: list[MeasuredPair], reason: str) -> None:
    figure = paired_figure(METRIC, pairs)
    assert (figure.median_ratio, figure.pairs, figure.reason) == (None, 0, reason)
