"""Joules of a window exact to the microjoule, or unknown with the right reason: whatever the counters do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.energy.sources.rapl import RaplSource
from engine.energy.window import energy_report
from tests.support.powercap_tree import RANGE_UJ, SMALL_RANGE_UJ, PowercapTree, forbid

Step = Callable[[PowercapTree, RaplSource], object]
"""One event in a window."""
P0, P1 = "intel-rapl:0", "intel-rapl:1"


def make_machine(root: Path) -> PowercapTree:
    """Two packages of 30 and 50 W with memory of 4 and 6 W, and everything that must not be counted."""
    tree = PowercapTree(root)
    for package, watts in enumerate((30.0, 50.0)):
        zone = f"intel-rapl:{package}"
        tree.add(zone, f"package-{package}", 10**9 * (package + 1), RANGE_UJ, watts)
        tree.add(f"{zone}:0", "core", watts=watts * 0.7)
        tree.add(f"{zone}:1", "uncore", watts=watts * 0.1)
        tree.add(f"{zone}:2", "dram", 10**9, SMALL_RANGE_UJ, 4.0 + 2 * package)
        tree.add(f"intel-rapl-mmio:{package}", f"package-{package}", 10**9 * (package + 1), RANGE_UJ, watts)
    tree.add("intel-rapl:7", "psys", 10**9, RANGE_UJ, 130.0)
    return tree


def run(seconds: float) -> Step:
    return lambda tree, _: tree.pass_time(seconds)


def read(_: PowercapTree, source: RaplSource) -> object:
    return source.read()


def draw(zone: str, watts: float) -> Step:
    return lambda tree, _: tree.draw(zone, watts)


def spend(zone: str, microjoules: int) -> Step:
    return lambda tree, _: tree.spend(zone, microjoules)


def write(zone: str, content: str) -> Step:
    return lambda tree, _: tree.write(zone, content)


def unplug(zone: str) -> Step:
    return lambda tree, _: tree.unplug(zone)


def plug(zone: str, name: str) -> Step:
    return lambda tree, _: tree.plug(zone, name)


def readings(times: int, seconds: float) -> tuple[Step, ...]:
    return (run(seconds), read) * times


EXACT: dict[str, tuple[tuple[Step, ...], int]] = {
    "a second": ((run(1.0),), 80_000_000),
    "an odd time": ((run(1.234567),), 98_765_360),
    "read in between": ((run(0.3), read, run(0.3), read, run(0.4)), 80_000_000),
    "read very often": (readings(50, 0.002), 8_000_000),
    "read at once, twice": ((run(1.0), read), 80_000_000),
    "a minute": (readings(2, 30.0), 4_800_000_000),
    "more than the counters hold": ((draw(P0, 1000.0), draw(P1, 1000.0), *readings(10, 30.0)), 600_000_000_000),
    "hardly any power": ((draw(P0, 0.001), draw(P1, 0.002), run(1.0)), 3_000),
    "almost as much as there can be": ((draw(P0, 1900.0), draw(P1, 1900.0), run(10.0)), 38_000_000_000),
    "a step of a counter at an instant": ((run(0.3), read, spend(P0, 1_500_000), read), 25_500_000),
    "more in cores and platform": ((draw(f"{P0}:0", 400.0), draw("intel-rapl:7", 900.0), run(1.0)), 80_000_000),
    "more in an MMIO twin": ((draw("intel-rapl-mmio:0", 900.0), run(1.0)), 80_000_000),
    "an MMIO twin vanishes": ((run(0.5), unplug("intel-rapl-mmio:1"), read, run(0.5)), 80_000_000),
    "the platform vanishes": ((run(0.5), unplug("intel-rapl:7"), read, run(0.5)), 80_000_000),
    "a short stop of a counter": (
        (run(1.0), draw(P0, 0.0), *readings(3, 0.05), draw(P0, 30.0), run(0.85)),
        55_500_000 + 100_000_000,
    ),
}


@pytest.mark.parametrize(("story", "microjoules"), EXACT.values(), ids=EXACT)
def test_joules_are_exact(tmp_path: Path, story: tuple[Step, ...], microjoules: int) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    start = source.read()
    for step in story:
        step(tree, source)
    end = source.read()
    assert (start.error, end.error, start.epoch) == ("", "", end.epoch)
    assert (end.package_uj or 0) - (start.package_uj or 0) == microjoules
    report = energy_report(source, start, end)
    if (report.window_ms or 0) >= 200:
        assert report.reason is None
        assert report.package_j == pytest.approx(microjoules / 1e6, rel=1e-12)
        assert report.domains == ("package-0", "package-1", "package-0/dram", "package-1/dram")


WRAPS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "one package": ((P0,), 1, 7_000_000),
    "both packages": ((P0, P1), 1, 7_000_000),
    "at the last microjoule": ((P0,), 1, 1),
    "exactly at the end of the range": ((P0,), 1, 30_000_000),
    "the memory, by its own range": (("intel-rapl:0:2",), 1, 1_000_000),
    "every counter": ((P0, P1, "intel-rapl:0:2", "intel-rapl:1:2"), 1, 1_000_000),
    "between two readings of several": ((P0, P1), 20, 450_000_000),
}


@pytest.mark.parametrize(("zones", "seconds", "left_uj"), WRAPS.values(), ids=WRAPS)
def test_joules_are_exact_where_a_counter_comes_round(
    tmp_path: Path, zones: tuple[str, ...], seconds: int, left_uj: int
) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    for zone in zones:
        tree.spend(zone, tree.range_of(zone) - tree.count(zone) - left_uj)
    source.read()  # that was no machine's work, and poisons this reading
    before = {zone: tree.count(zone) for zone in zones}
    start = source.read()
    for _ in range(seconds):
        tree.pass_time(1.0)
        source.read()
    end = source.read()
    assert all(tree.count(zone) < before[zone] for zone in zones)
    assert (end.package_uj or 0) - (start.package_uj or 0) == 80_000_000 * seconds
    assert (end.dram_uj or 0) - (start.dram_uj or 0) == 10_000_000 * seconds
    assert sum(end.zones_uj) - sum(start.zones_uj) == 90_000_000 * seconds


UNKNOWN: dict[str, tuple[tuple[Step, ...], str]] = {
    "nothing at the end": ((run(1.0), write(P0, "")), "holds '', not a count"),
    "garbage at the end": ((run(1.0), write(P1, "garbage")), "intel-rapl:1/energy_uj holds 'garbage'"),
    "a negative count": ((run(1.0), write(P0, "-80000000")), "'-80000000', not a count"),
    "a count beyond the range": ((run(1.0), write(P0, str(RANGE_UJ + 1))), f"from 0 to {RANGE_UJ}"),
    "two counts": ((run(1.0), write(P0, "1 2")), "'1 2'"),
    "a fraction": ((run(1.0), write(P0, "1.5")), "'1.5'"),
    "garbage in the memory": ((run(1.0), write(f"{P0}:2", "?")), "intel-rapl:0:2/energy_uj holds '?'"),
    "garbage in between": ((run(0.5), write(P0, "garbage"), read, run(0.5)), "so the sum has a hole"),
    "a package that vanishes": ((run(1.0), unplug(P1)), "No such file"),
    "its counter alone": ((run(1.0), lambda tree, _: tree.remove(P1)), "No such file"),
    "memory that vanishes": ((run(1.0), unplug(f"{P1}:2")), "No such file"),
    "a package that vanishes early": ((run(0.2), unplug(P1), *readings(2, 0.4)), "No such file"),
    "a package that comes back, and was missed": (
        (run(0.3), unplug(P1), read, plug(P1, "package-1"), run(0.7)),
        "so the sum has a hole",
    ),
    "a package that comes back, and was not missed": (
        (run(0.3), unplug(P1), plug(P1, "package-1"), run(0.7)),
        "package-1 rose by 26",
    ),
    "a package that comes back as another": (
        (run(0.3), unplug(P1), read, plug(P1, "package-4"), run(0.7)),
        "was package-1 and is 'package-4' now",
    ),
    "a counter that is reset": ((run(1.0), write(P0, "0")), "package-0 rose by 26"),
    "a counter that falls a little": ((run(1.0), spend(P0, -40_000_000)), "it was reset, or does not count joules"),
    "a counter that jumps": (
        (run(1.0), spend(P1, 9_000_000_000)),
        "package-1 rose by 9,050 J in 1.000 s, more than 2,000 W",
    ),
    "a counter that stops": ((draw(P1, 0.0), run(1.0)), "package-1 has stood still for 1000 ms"),
    "both packages stop": ((draw(P0, 0.0), draw(P1, 0.0), run(0.25)), "package-0 has stood still for 250 ms"),
    "memory that stops": ((draw(f"{P0}:2", 0.0), run(1.0)), "package-0/dram has stood still"),
    "a counter that stops and is read meanwhile": ((draw(P0, 0.0), *readings(7, 0.05)), "so the sum has a hole"),
    "too short a window": ((run(0.199),), "the window of 199 ms is too short"),
}


@pytest.mark.parametrize(("story", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_joules_that_nobody_can_vouch_for_are_unknown(tmp_path: Path, story: tuple[Step, ...], reason: str) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    start = source.read()
    for step in story:
        step(tree, source)
    report = energy_report(source, start, source.read())
    assert (report.kind, report.package_j, report.attributed_j) == ("unavailable", None, None)
    assert reason in (report.reason or "")


@pytest.mark.parametrize("zone", [P0, f"{P1}:2"])
def test_a_right_that_is_taken_away_is_told(tmp_path: Path, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    forbid(monkeypatch, tree.root / zone / "energy_uj")
    reading = source.read()
    assert (reading.package_uj, reading.zones_uj) == (None, ())
    assert "Permission denied" in reading.error


BROKEN: dict[str, tuple[Step, Step]] = {
    "garbage": (write(P0, "garbage"), spend(P0, 0)),
    "a package that was away": (unplug(P1), plug(P1, "package-1")),
    "a reset": (write(P0, "0"), spend(P0, 0)),
}


@pytest.mark.parametrize(("breaks", "mends"), BROKEN.values(), ids=BROKEN)
def test_the_window_after_a_failure_is_exact_again(tmp_path: Path, breaks: Step, mends: Step) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    breaks(tree, source)
    assert source.read().error
    mends(tree, source)
    start = source.read()
    tree.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 80.0


def test_while_a_package_is_away_nothing_is_known_of_the_others_either(tmp_path: Path) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    tree.unplug(P1)
    for _ in range(3):
        start = source.read()
        tree.pass_time(1.0)
        report = energy_report(source, start, source.read())
        assert (report.kind, report.package_j) == ("unavailable", None)
        assert "intel-rapl:1" in (report.reason or "")


def test_the_platform_is_exact_where_it_is_what_is_counted(tmp_path: Path) -> None:
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, psys=True, clock=tree.clock)
    start = source.read()
    tree.pass_time(2.5)
    end = source.read()
    assert (source.domains, end.dram_uj) == (("psys",), None)
    assert (end.package_uj or 0) - (start.package_uj or 0) == 325_000_000


def test_mirrored_dies_count_once(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    for die in (0, 1):
        tree.add(f"intel-rapl:{die}", f"package-0-die-{die}", watts=68.0)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    start = source.read()
    tree.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 68.0


def test_a_hole_between_two_windows_is_none_in_them(tmp_path: Path) -> None:
    """Nothing is read while nothing runs: joules of that time belong to no execution."""
    tree = make_machine(tmp_path)
    source = RaplSource(tree.root, tree.pass_time, clock=tree.clock)
    source.read()
    tree.pass_time(100_000.0)  # they come round more than once
    start = source.read()
    tree.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 80.0
