"""An execution and its limits of energy, reading by reading."""

from __future__ import annotations

from typing import Any

import pytest

from engine.energy.limit_watch import LimitWatch
from engine.energy.sources.source import EnergyReading
from protocol.plan import Limits

FAILED = EnergyReading(time_ns=10**9, package_uj=None, epoch=1, error="vanished")


def reading(seconds: float, joules: float, epoch: int = 0) -> EnergyReading:
    return EnergyReading(time_ns=round(seconds * 1e9), package_uj=round(joules * 1e6), epoch=epoch)


def watch(**limits: Any) -> LimitWatch:
    """Begins when the counter says 100 J."""
    return LimitWatch(Limits(**limits), reading(0, 100))


def test_without_limits_there_is_nothing_to_look_at() -> None:
    unlimited = watch()
    assert unlimited.sample_s is None
    assert unlimited.judge(reading(1, 10_000)) == "run"
    assert unlimited.judge(FAILED) == "run"


@pytest.mark.parametrize("limits", [{"max_watts": 5.0}, {"max_joules": 5.0}])
def test_limits_are_looked_at_as_often_as_the_plan_says(limits: dict[str, float]) -> None:
    assert watch(**limits).sample_s == 0.05
    assert watch(**limits, energy_sample_ms=200).sample_s == 0.2


def test_joules_count_from_the_start_of_the_execution() -> None:
    limited = watch(max_joules=25.0)
    assert limited.judge(reading(1, 124.9)) == "run"
    assert limited.judge(reading(2, 125.0)) == "max_joules"


@pytest.mark.parametrize("window_ms", [1000, 4000])
def test_watts_are_an_average_over_the_window(window_ms: int) -> None:
    limited = watch(max_watts=25.0, watt_window_ms=window_ms)
    seconds = window_ms / 1000
    assert limited.judge(reading(seconds * 0.9, 100 + 100 * seconds)) == "run"
    assert limited.judge(reading(seconds, 100 + 25 * seconds)) == "run"
    assert limited.judge(reading(seconds * 1.1, 100 + 25.1 * seconds + 10 * seconds)) == "max_watts"


def test_throttling_rests_and_goes_on() -> None:
    limited = watch(max_watts=25.0, on_max_watts="throttle")
    assert limited.judge(reading(0.05, 102.5)) == "rest"
    assert limited.judge(reading(0.20, 104.0)) == "rest"
    assert limited.judge(reading(0.30, 105.0)) == "run"


def test_joules_end_what_throttling_only_slows_down() -> None:
    limited = watch(max_watts=25.0, on_max_watts="throttle", max_joules=5.0)
    assert limited.judge(reading(0.05, 102.5)) == "rest"
    assert limited.judge(reading(0.30, 105.0)) == "max_joules"


@pytest.mark.parametrize("limit", ["max_watts", "max_joules"])
@pytest.mark.parametrize("bad", [FAILED, reading(0.1, 101.0, epoch=1)], ids=["failed", "hole"])
def test_a_limit_that_cannot_be_measured_any_more_counts_as_reached(limit: str, bad: EnergyReading) -> None:
    assert watch(**{limit: 1000.0}).judge(bad) == limit
    limits = Limits.model_validate({limit: 1000.0})
    assert LimitWatch(limits, FAILED).judge(reading(2.0, 101.0, epoch=1)) == limit


def test_throttling_without_a_meter_is_no_throttling() -> None:
    assert watch(max_watts=1000.0, on_max_watts="throttle").judge(FAILED) == "max_watts"


def unjudged(limited: LimitWatch) -> dict[str, str]:
    return {each.limit: each.reason for each in limited.unjudged}


def test_a_limit_is_unjudged_until_a_reading_can_be_held_against_it() -> None:
    limited = watch(max_watts=25.0, max_joules=500.0, watt_window_ms=2000)
    assert unjudged(limited) == {
        "max_watts": "it is first judged after 2000 ms, and the run was over sooner",
        "max_joules": "it is first judged after 50 ms, and the run was over sooner",
    }
    limited.judge(reading(0.05, 101))
    assert set(unjudged(limited)) == {"max_watts"}
    limited.judge(reading(2.0, 140))
    assert not limited.unjudged


def test_throttling_judges_from_the_first_reading_on() -> None:
    limited = watch(max_watts=25.0, on_max_watts="throttle")
    assert unjudged(limited) == {"max_watts": "it is first judged after 50 ms, and the run was over sooner"}
    limited.judge(reading(0.05, 101))
    assert not limited.unjudged


def test_a_limit_that_ended_a_run_for_want_of_a_reading_was_judged() -> None:
    limited = watch(max_watts=25.0)
    assert limited.judge(FAILED) == "max_watts"
    assert not limited.unjudged


def test_what_is_not_limited_needs_no_judgement() -> None:
    assert not watch(max_tokens=5).unjudged
