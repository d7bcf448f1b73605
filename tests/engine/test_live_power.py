"""Watts between two readings, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.backend import ComputeTime, ComputeTimes
from engine.energy.ladder import EnergyLadder
from engine.energy.live import LiveSample, live_power, live_window_s, share_between
from engine.energy.sources.rapl import RaplSource
from engine.energy.sources.source import EnergyReading
from tests.engine.energy_plant import Plant
from tests.support.powercap_tree import PowercapTree

SECOND = 1_000_000_000


@pytest.fixture
def source(tmp_path: Path) -> RaplSource:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl:0:0", "dram")
    tree.add("intel-rapl:1", "package-1")
    return RaplSource(tree.root, pause=lambda _: tree.spend_everywhere(1))


def make_reading(
    seconds: float, packages_j: tuple[float, float] | None, dram_j: float = 0.0, **more: object
) -> EnergyReading:
    if packages_j is None:
        return EnergyReading(int(seconds * SECOND), None, **more)  # type: ignore[arg-type]
    zones = tuple(round(joules * 1e6) for joules in (*packages_j, dram_j))
    return EnergyReading(int(seconds * SECOND), zones[0] + zones[1], zones[2], zones, **more)  # type: ignore[arg-type]


def make_sample(busy_s: float, **own_s: float) -> LiveSample:
    times = {name: ComputeTime(round(own * SECOND), round(busy_s * SECOND)) for name, own in own_s.items()}
    return LiveSample(make_reading(0, None), ComputeTimes(round(busy_s * SECOND), times))


def test_watts_are_told_in_all_and_by_zone(source: RaplSource) -> None:
    power = live_power(source, make_reading(1, (5, 7), 3), make_reading(3, (25, 17), 7))
    assert (power.kind, power.source, power.window_ms, power.watts) == ("measured", "rapl", 2000.0, 15.0)
    assert list(power.zones.values()) == [10.0, 5.0, 2.0]
    assert list(power.zones) == list(source.domains)
    assert power.rel_uncertainty == pytest.approx(0.001)
    assert power.reason is None


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (make_reading(1, None, error="vanished"), make_reading(2, (1, 1)), "vanished"),
        (make_reading(1, (1, 1)), make_reading(2, None, error="garbage"), "garbage"),
        (make_reading(1, (1, 1)), make_reading(2, (9, 9), epoch=1), "could not be read in between"),
    ],
)
def test_what_cannot_be_vouched_for_has_a_reason(
    source: RaplSource, start: EnergyReading, end: EnergyReading, reason: str
) -> None:
    power = live_power(source, start, end)
    assert (power.kind, power.watts, power.zones) == ("unavailable", None, {})
    assert reason in (power.reason or "")


def test_a_source_that_does_not_work_says_why() -> None:
    ladder = EnergyLadder([], {"rapl": "no such folder"})
    reading = ladder.read_counters("rapl")
    assert (reading.package_uj, reading.cpu) == (None, None)
    power = ladder.power("rapl", reading, reading)
    assert (power.kind, power.source, power.reason) == ("unavailable", "rapl", "no such folder")


def test_watts_are_averages_of_a_second_or_more(source: RaplSource) -> None:
    assert live_window_s(source) == 1.0
    slow = Plant(update_ms=500.0)
    assert live_window_s(slow) == 10.0
    assert EnergyLadder([slow], {}).live_window_s("rapl") == 10.0


def test_a_share_is_that_of_the_steps_in_between() -> None:
    start, end = make_sample(10, old=8), make_sample(14, old=9, new=2)
    assert share_between(start, end, "old") == 0.25
    assert share_between(start, end, "new") == 0.5


def test_where_nothing_was_computed_nobody_has_a_share() -> None:
    assert share_between(make_sample(10, one=5), make_sample(10, one=5), "one") is None
    assert share_between(make_sample(10), make_sample(12), "nobody") is None


def test_a_fresh_run_loop_begins_to_count_anew() -> None:
    assert share_between(make_sample(10, one=5), make_sample(2, one=1), "one") is None
