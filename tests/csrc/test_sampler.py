"""Drawing a token, against a plain restatement of what each option means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core


@dataclass(frozen=True)
class Options:
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64


def draw(
    logits: Sequence[float], options: Options, position: int = 0, seed: int = 0, history: Sequence[int] = ()
) -> int:
    return _core.sample(logits, history, position, seed=seed, **asdict(options))


def candidates(logits: Sequence[float], options: Options, history: Sequence[int] = ()) -> dict[int, float]:
    """The tokens that may be drawn, with their probabilities."""
    scores = dict(enumerate(logits))
    recent = history[-options.repeat_last_n :] if options.repeat_last_n else ()
    for token in set(recent):
        penalty = options.repeat_penalty
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    kept = sorted(scores, key=lambda token: (-scores[token], token))
    if options.temperature == 0:
        return {kept[0]: 1.0}
    if options.top_k:
        kept = kept[: options.top_k]
    shares = np.exp([scores[token] - scores[kept[0]] for token in kept])
    if options.top_p < 1:
        enough = np.cumsum(shares) / shares.sum() >= options.top_p - 1e-9
        kept = kept[: int(np.argmax(enough)) + 1] if enough.any() else kept
    shares = shares[: len(kept)]
    kept = [token for token, share in zip(kept, shares, strict=True) if share >= options.min_p]
    weights = np.exp([(scores[token] - scores[kept[0]]) / options.temperature for token in kept])
    return dict(zip(kept, (weights / weights.sum()).tolist(), strict=True))


# Spaced, so that no rounding decides whether a candidate stays.
spaced_logits = st.lists(st.integers(-40, 40), min_size=1, max_size=40).map(lambda values: [v / 4 for v in values])
option_sets = st.builds(
    Options,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 2, 5, 100]),
    top_p=st.sampled_from([1.0, 0.913, 0.507, 0.1013]),
    min_p=st.sampled_from([0.0, 0.0513, 0.507, 1.0]),
    repeat_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    repeat_last_n=st.sampled_from([0, 1, 4, 64]),
)


@given(spaced_logits, option_sets, st.lists(st.integers(0, 2**20), max_size=8), st.integers(0, 2**64 - 1))
@settings(max_examples=500, deadline=None)
def test_only_candidates_are_drawn(logits: list[float], options: Options, history: list[int], seed: int) -> None:
    history = [token % len(logits) for token in history]
    allowed = candidates(logits, options, history)
    assert {draw(logits, options, position, seed, history) for position in range(8)} <= allowed.keys()


def test_greedy_takes_the_largest_and_of_equals_the_lowest_id() -> None:
    greedy = Options(temperature=0.0)
    assert draw([0.0, 3.0, 1.0, 3.0, 3.0], greedy) == 1
    assert draw([-math.inf, -5.0, -5.0], greedy) == 1
    assert draw([0.0, -0.0], greedy) == 0
    assert draw([-0.0, 0.0], greedy) == 0
    assert draw([7.0], greedy) == 0


def test_top_k_of_equals_keeps_the_lowest_ids() -> None:
    logits = [0.0, 1.0] * 300
    drawn = {draw(logits, Options(top_k=3), position) for position in range(100)}
    assert drawn == {1, 3, 5}


def test_a_wide_distribution_is_cut_where_top_p_says() -> None:
    """More candidates than are sorted at first."""
    logits = [0.0] * 2000
    drawn = {draw(logits, Options(top_p=0.5), position) for position in range(3000)}
    assert max(drawn) == 999
    assert len(drawn) > 900


def test_the_penalty_falls_on_recent_tokens_once_each() -> None:
    greedy = Options(temperature=0.0, repeat_penalty=2.0, repeat_last_n=3)
    logits = [4.0, 3.0, 1.9]
    assert draw(logits, greedy, history=[]) == 0
    assert draw(logits, greedy, history=[0]) == 1
    assert draw(logits, greedy, history=[0, 0, 0]) == 1
    assert draw(logits, greedy, history=[0, 1]) == 0
    assert draw(logits, greedy, history=[0, 2, 2, 2]) == 0
    assert draw([-1.0, -1.5], greedy, history=[0]) == 1
    assert draw(logits, Options(temperature=0.0, repeat_penalty=2.0, repeat_last_n=0), history=[0]) == 0


def test_min_p_of_one_keeps_the_most_probable() -> None:
    assert {draw([1.0, 3.0, 2.0], Options(min_p=1.0), position) for position in range(50)} == {1}


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    logits = np.linspace(0.0, 3.0, 100).tolist()
    table = {(seed, position): draw(logits, Options(), position, seed) for seed in range(5) for position in range(50)}
    for (seed, position), token in reversed(table.items()):
        assert draw(logits, Options(), position, seed, history=[1, 2, 3]) == token
    by_seed = [tuple(table[seed, position] for position in range(50)) for seed in range(5)]
    assert len(set(by_seed)) == 5
    large = {draw(logits, Options(), position, 2**64 - 1) for position in range(2**63, 2**63 + 50)}
    assert len(large) > 10


@pytest.mark.parametrize(
    "options",
    [Options(), Options(temperature=0.5), Options(temperature=2.0, top_k=4), Options(top_p=0.7), Options(min_p=0.3),
     Options(repeat_penalty=1.5)],
)  # fmt: skip
def test_draws_follow_the_distribution(options: Options) -> None:
    """Pearson's statistic of 4000 draws at successive positions. Its mean is the degrees of freedom, its deviation
    the root of twice that; the seeds are fixed, so a bound of six deviations passes always or never.
    """
    logits, history = [2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0], [0, 3]
    expected = candidates(logits, options, history)
    for seed in (1, 2**40):
        draws = [draw(logits, options, position, seed, history) for position in range(4000)]
        counts = np.bincount(draws, minlength=len(logits))
        assert counts.sum() == sum(counts[token] for token in expected)
        statistic = sum((counts[token] - 4000 * p) ** 2 / (4000 * p) for token, p in expected.items())
        freedom = len(expected) - 1
        assert statistic <= freedom + 6 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "options",
    [Options(temperature=-1.0), Options(temperature=math.nan), Options(temperature=math.inf), Options(top_k=-1),
     Options(top_p=0.0), Options(top_p=1.5), Options(top_p=math.nan), Options(min_p=-0.1), Options(min_p=1.1),
     Options(repeat_penalty=0.0), Options(repeat_penalty=math.inf)],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: Options) -> None:
    with pytest.raises(ValueError, match="must be"):
        draw([0.0, 1.0], options)


def test_tokens_and_logits_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="no logits"):
        draw([], Options())
    for token in (-1, 2, 2**31 - 1):
        with pytest.raises(ValueError, match="no logit"):
            draw([0.0, 1.0], Options(repeat_penalty=2.0), history=[token])
