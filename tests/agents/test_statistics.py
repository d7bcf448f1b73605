"""What the bounds on paired figures promise, counted on simulated machines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weos_agents.statistics.noise import Noise, paired_log_ratios
from weos_agents.statistics.symmetric_bets import log_e_value, lower_bound, upper_bound

ALPHA = 0.05
NEEDED = math.log(1 / ALPHA)
MACHINES = {
    "usual": Noise(),
    "quiet": Noise(spread=0.005, drift=0.002, outliers=0.0),
    "held up often": Noise(spread=0.05, outliers=0.3, outlier_size=1.5),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_two_runs_of_one_plan_are_told_apart_in_one_of_twenty_at_most(machine: str) -> None:
    """1,000 experiments of up to 60 pairs, looked at after each."""
    random = np.random.default_rng(20_300_101)
    opened = sum(log_e_value(paired_log_ratios(random, 60, MACHINES[machine]), 0.0) >= NEEDED for _ in range(1000))
    assert opened <= 50


def test_a_bound_of_a_fixed_number_of_pairs_does_not_survive_being_looked_at() -> None:
    """Why the gate does not use it: after each pair from 6 on, an equal plan is called better far too often."""
    bootstrap = pytest.importorskip("weos_agents.statistics.bootstrap", reason="scipy is not installed")
    random = np.random.default_rng(20_300_102)
    runs = [paired_log_ratios(random, 30, Noise()) for _ in range(60)]
    looked_at_once = sum(bootstrap.bootstrap_lower_bound(run, ALPHA, 1) > 0 for run in runs)
    looked_at_always = sum(
        any(bootstrap.bootstrap_lower_bound(run[:pairs], ALPHA, 1) > 0 for pairs in range(6, 31, 3)) for run in runs
    )
    always_valid = sum(log_e_value(run, 0.0) >= NEEDED for run in runs)
    assert always_valid <= 3 < looked_at_always
    assert looked_at_once < looked_at_always


@pytest.mark.parametrize(
    ("gain", "spread", "pairs", "power"),
    [(0.02, 0.01, 40, 0.9), (0.05, 0.01, 10, 0.9), (0.05, 0.03, 40, 0.9), (0.10, 0.03, 20, 0.9), (0.10, 0.05, 40, 0.9)],
)
def test_a_gain_is_found(gain: float, spread: float, pairs: int, power: float) -> None:
    random = np.random.default_rng(20_300_103)
    noise = Noise(spread=spread, drift=spread)
    found = sum(log_e_value(paired_log_ratios(random, pairs, noise, gain), 0.0) >= NEEDED for _ in range(200))
    assert found >= power * 200


def test_bounds_hold_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(20_300_104)
    truth = math.log1p(0.05)
    above = below = 0
    for _ in range(300):
        run = paired_log_ratios(random, 30, Noise(), 0.05)
        low, high = lower_bound(run, ALPHA), upper_bound(run, ALPHA)
        assert low is not None
        assert high is not None
        above += low > truth
        below += high < truth
    assert max(above, below) <= ALPHA * 300


def test_a_bound_is_where_the_evidence_is_just_enough() -> None:
    run = paired_log_ratios(np.random.default_rng(1), 30, Noise(), 0.05)
    bound = lower_bound(run, ALPHA)
    assert bound is not None
    assert log_e_value(run, bound - 1e-5) >= NEEDED > log_e_value(run, bound + 1e-5)
    assert upper_bound([-ratio for ratio in run], ALPHA) == pytest.approx(-bound)


def test_too_few_pairs_prove_nothing_however_large_the_gain() -> None:
    assert lower_bound([1.0] * 5, ALPHA) is None
    assert lower_bound([], ALPHA) is None
    assert log_e_value([], 0.0) == 0.0
    bound = lower_bound([1.0] * 7, ALPHA)
    assert bound is not None
    assert bound < 1.0


def test_what_was_proved_once_stays_proved() -> None:
    won = [0.05] * 12
    assert log_e_value([*won, *[-0.05] * 12], 0.0) == log_e_value(won, 0.0) >= NEEDED
