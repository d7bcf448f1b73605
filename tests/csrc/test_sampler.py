"""Drawing a token, against a plain restatement of what each sampler means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from protocol.sampling import SAMPLERS
from tests.csrc.sampler_reference import BorderlineError, Options, distribution

pytestmark = pytest.mark.slow

GREEDY = Options(temperature=0.0)


def draw(
    logits: Sequence[float], options: Options, position: int = 0, seed: int = 0, history: Sequence[int] = ()
) -> int:
    return options.run(seed).sample(logits, history, position)


@pytest.mark.parametrize(
    "options",
    [
        Options(repeat_penalty=1e-39),
        Options(repeat_penalty=1e-39, top_p=0.9, min_p=0.1, typical_p=0.9),
        Options(repeat_penalty=1e-39, mirostat_tau=2.0),
        Options(logit_bias={1: 3.4e38}, frequency_penalty=-3.4e38),
    ],
    ids=["penalty", "truncations", "mirostat", "bias and penalty"],
)
def test_a_logit_that_a_sampler_makes_too_large_is_the_likeliest(options: Options) -> None:
    """And not one whose distance from itself is NaN, for which the last candidate would be drawn."""
    drawn = {draw([1.0, 2.0, 1.0, 3.0], options, position, history=[1, 1]) for position in range(50)}
    assert drawn == {1}


# Spaced, so that rounding seldom decides whether a candidate stays.
spaced_logits = st.lists(st.integers(-40, 40), min_size=1, max_size=40).map(lambda values: [v / 4 for v in values])
option_sets = st.builds(
    Options,
    order=st.permutations(SAMPLERS[:-1]).map(tuple),
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.sampled_from([0, 0, 1, 2, 5, 100]),
    top_p=st.sampled_from([1.0, 1.0, 0.913, 0.507, 0.1013]),
    min_p=st.sampled_from([0.0, 0.0, 0.0513, 0.507, 1.0]),
    typical_p=st.sampled_from([1.0, 1.0, 0.913, 0.507, 0.1013]),
    repeat_penalty=st.sampled_from([1.0, 1.3, 0.7]),
    presence_penalty=st.sampled_from([0.0, 0.73, -0.31]),
    frequency_penalty=st.sampled_from([0.0, 0.57, -0.11]),
    repeat_last_n=st.sampled_from([0, 1, 4, 64]),
    dry_multiplier=st.sampled_from([0.0, 0.83]),
    dry_allowed_length=st.sampled_from([1, 2, 3]),
    dry_last_n=st.sampled_from([1, 6, 65536]),
    dry_breakers=st.sampled_from([(), (0,)]),
    xtc_probability=st.sampled_from([0.0, 0.5, 1.0]),
    xtc_threshold=st.sampled_from([0.0531, 0.1013, 0.5]),
    logit_bias=st.sampled_from([{}, {0: 2.7}, {0: -10_000.0}]),
)
mirostat_sets = st.builds(
    Options,
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
    mirostat_tau=st.sampled_from([0.01, 0.77, 2.3]),
)


@given(spaced_logits, option_sets | mirostat_sets, st.lists(st.integers(0, 3), max_size=16), st.integers(0, 2**64 - 1))
@settings(max_examples=500, deadline=None)
def test_only_candidates_are_drawn(logits: list[float], options: Options, history: list[int], seed: int) -> None:
    """In any order of samplers."""
    history = [token % len(logits) for token in history]
    try:
        allowed = distribution(logits, options, history)
    except BorderlineError:
        reject()
    assert {draw(logits, options, position, seed, history) for position in range(8)} <= allowed.keys()


@given(st.lists(st.integers(0, 2), max_size=60), st.sampled_from([(), (0,), (1, 2)]), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_dry_finds_every_repetition(history: list[int], breakers: tuple[int, ...], allowed_length: int) -> None:
    """Among equal logits the least penalized is drawn, then the lowest id: short histories over few tokens are full of
    repetitions that overlap."""
    dry = replace(GREEDY, dry_multiplier=1.0, dry_base=2.0, dry_allowed_length=allowed_length, dry_breakers=breakers)
    for logits in itertools.product([0.0, 3.5], repeat=3):
        expected = distribution(logits, dry, history)
        assert draw(logits, dry, history=history) in expected


def test_dry_is_bounded() -> None:
    """However long the repetition: a penalty beyond all numbers would make candidates of nothing."""
    dry = Options(dry_multiplier=100.0, dry_base=100.0)
    assert {draw([0.0, 0.0], dry, position, history=[0] * 5000) for position in range(200)} == {1}
    as_low = replace(dry, logit_bias={1: -10_000.0})
    assert {draw([0.0, 0.0], as_low, position, history=[0] * 5000) for position in range(200)} == {0, 1}


def test_greedy_takes_the_largest_and_of_equals_the_lowest_id() -> None:
    assert draw([0.0, 3.0, 1.0, 3.0, 3.0], GREEDY) == 1
    assert draw([-3.4e38, -5.0, -5.0], GREEDY) == 1
    assert draw([0.0, -0.0], GREEDY) == 0
    assert draw([-0.0, 0.0], GREEDY) == 0
    assert draw([7.0], GREEDY) == 0


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_refused(logit: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        draw([0.0, logit], GREEDY)


def test_top_k_of_equals_keeps_the_lowest_ids() -> None:
    logits = [0.0, 1.0] * 300
    drawn = {draw(logits, Options(top_k=3), position) for position in range(100)}
    assert drawn == {1, 3, 5}


@pytest.mark.parametrize("field", ["top_p", "typical_p"])
def test_a_wide_distribution_is_cut_where_its_mass_says(field: str) -> None:
    """More candidates than are sorted at first."""
    logits = [0.0] * 2000
    run = replace(Options(), **{field: 0.5}).run()  # type: ignore[arg-type]
    drawn = {run.sample(logits, [], position) for position in range(3000)}
    assert max(drawn) == 999
    assert len(drawn) > 700


def test_the_penalty_falls_on_recent_tokens_once_each() -> None:
    greedy = replace(GREEDY, repeat_penalty=2.0, repeat_last_n=3)
    logits = [4.0, 3.0, 1.9]
    assert draw(logits, greedy, history=[]) == 0
    assert draw(logits, greedy, history=[0]) == 1
    assert draw(logits, greedy, history=[0, 0, 0]) == 1
    assert draw(logits, greedy, history=[0, 1]) == 0
    assert draw(logits, greedy, history=[0, 2, 2, 2]) == 0
    assert draw([-1.0, -1.5], greedy, history=[0]) == 1
    assert draw(logits, replace(greedy, repeat_last_n=0), history=[0]) == 0


def test_frequency_counts_and_presence_does_not() -> None:
    logits = [3.0, 1.5]
    assert draw(logits, replace(GREEDY, frequency_penalty=1.0), history=[0]) == 0
    assert draw(logits, replace(GREEDY, frequency_penalty=1.0), history=[0, 0]) == 1
    assert draw(logits, replace(GREEDY, presence_penalty=1.0), history=[0, 0]) == 0
    assert draw(logits, replace(GREEDY, presence_penalty=2.0), history=[0]) == 1
    assert draw(logits, replace(GREEDY, frequency_penalty=1.0, repeat_last_n=1), history=[0, 0]) == 0


def test_min_p_of_one_keeps_the_most_probable() -> None:
    assert {draw([1.0, 3.0, 2.0], Options(min_p=1.0), position) for position in range(50)} == {1}


def test_the_order_decides() -> None:
    """Hot before top-p many tokens make up its mass, after it they have been dropped."""
    logits = [4.0, 2.0, 1.0, 0.0]
    late = Options(temperature=10.0, top_p=0.75, order=("top_p", "temperature"))
    early = replace(late, order=("temperature", "top_p"))
    assert {draw(logits, late, position) for position in range(200)} == {0}
    assert {draw(logits, early, position) for position in range(200)} == {0, 1, 2}


def test_xtc_tosses_its_coin_apart_from_the_draw() -> None:
    """Were both one number, every exclusion would come with a draw from the lower half of the rest."""
    logits = [1.0, 0.0, 0.0]
    run = Options(xtc_probability=0.5, xtc_threshold=0.3).run(seed=3)  # two top choices at most
    drawn = [run.sample([5.0, 5.0, 4.0, 4.0], [], position) for position in range(2000)]
    counts = np.bincount(drawn, minlength=4)
    assert counts[0] > 0
    assert abs(counts[2] - counts[3]) < 6 * math.sqrt(counts[2] + counts[3])
    never = Options(xtc_probability=1.0, xtc_threshold=0.5).run()
    assert 0 in {never.sample(logits, [], position) for position in range(50)}


def test_a_draw_depends_on_seed_position_and_choice_alone() -> None:
    logits = np.linspace(0.0, 3.0, 100).tolist()
    options = Options(xtc_probability=0.5, xtc_threshold=0.01)
    table = {(seed, position): draw(logits, options, position, seed) for seed in range(5) for position in range(50)}
    for (seed, position), token in reversed(table.items()):
        assert draw(logits, options, position, seed, history=[1, 2, 3]) == token
    by_seed = [tuple(table[seed, position] for position in range(50)) for seed in range(5)]
    assert len(set(by_seed)) == 5
    by_choice = {
        tuple(options.run(0, choice).sample(logits, [], position) for position in range(50)) for choice in range(5)
    }
    assert len(by_choice) == 5
    assert by_seed[0] in by_choice
    large = {draw(logits, options, position, 2**64 - 1) for position in range(2**63, 2**63 + 50)}
    assert len(large) > 10


SAMPLED = {
    "temperature": Options(temperature=0.5),
    "hot": Options(temperature=2.0, top_k=4),
    "top_k": Options(top_k=3),
    "top_p": Options(top_p=0.7),
    "min_p": Options(min_p=0.3),
    "typical_p": Options(typical_p=0.5),
    "repeat_penalty": Options(repeat_penalty=1.5),
    "presence_penalty": Options(presence_penalty=0.8),
    "frequency_penalty": Options(frequency_penalty=0.5),
    "dry": Options(dry_multiplier=0.8, dry_allowed_length=1),
    "xtc": Options(xtc_probability=0.4, xtc_threshold=0.12),
    "logit_bias": Options(logit_bias={0: -1.0, 5: 2.0}),
    "mirostat": Options(mirostat_tau=1.4),
    "all that agree": Options(
        temperature=1.5, top_k=6, top_p=0.97, min_p=0.02, typical_p=0.95, repeat_penalty=1.1, presence_penalty=0.2,
        frequency_penalty=0.1, dry_multiplier=0.5, xtc_probability=0.3, xtc_threshold=0.2, logit_bias={4: 0.7},
    ),
}  # fmt: skip


@pytest.mark.parametrize("options", SAMPLED.values(), ids=SAMPLED.keys())
def test_draws_follow_the_distribution(options: Options) -> None:
    """Pearson's statistic of 4000 draws at successive positions. Its mean is the degrees of freedom, its deviation
    the root of twice that; the seeds are fixed, so a bound of six deviations passes always or never. Draws that no
    sampler touched are told apart by it.
    """
    logits, history = [2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -3.0], [0, 3, 0, 3, 0]
    expected = distribution(logits, options, history)
    for seed in (1, 2**40):
        assert misfit(draws(logits, options, history, seed), expected) <= 6.0
        assert misfit(draws(logits, Options(), history, seed), expected) > 6.0


def draws(logits: Sequence[float], options: Options, history: Sequence[int], seed: int) -> list[int]:
    return [options.run(seed).sample(logits, history, position) for position in range(4000)]


def misfit(drawn: Sequence[int], expected: dict[int, float]) -> float:
    """Deviations of Pearson's statistic from its mean; infinite where a token came that never should."""
    counts = np.bincount(drawn, minlength=max(expected) + 1)
    if counts.sum() != sum(counts[token] for token in expected):
        return math.inf
    statistic = sum((counts[token] - len(drawn) * p) ** 2 / (len(drawn) * p) for token, p in expected.items())
    freedom = len(expected) - 1
    return float((statistic - freedom) / math.sqrt(2 * freedom))
