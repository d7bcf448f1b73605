"""What a powercap tree is found to count, or why it counts nothing: one tree after another, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.energy.sources.permissions import RULE_REMEDY
from engine.energy.sources.rapl import RaplSource
from engine.energy.sources.source import SourceError
from tests.support.powercap_tree import RANGE_UJ, PowercapTree, forbid


@dataclass(frozen=True)
class Zone:
    number: str
    name: str
    watts: float = 10.0
    start_uj: int = 10**9
    range_uj: int = RANGE_UJ
    folder: str | None = None


P0, P1 = Zone("intel-rapl:0", "package-0"), Zone("intel-rapl:1", "package-1", 20.0, 2 * 10**9)
DRAM0, DRAM1 = Zone("intel-rapl:0:2", "dram", 3.0), Zone("intel-rapl:1:2", "dram", 4.0)
PSYS = Zone("intel-rapl:7", "psys", 80.0, 9 * 10**9)
NESTED = "intel-rapl/intel-rapl:0"


def make_tree(folder: Path, *zones: Zone) -> PowercapTree:
    tree = PowercapTree(folder / "powercap")
    for zone in zones:
        tree.add(zone.number, zone.name, zone.start_uj, zone.range_uj, zone.watts, zone.folder)
    return tree


def open_rapl(tree: PowercapTree, *, psys: bool = False) -> RaplSource:
    return RaplSource(tree.root, tree.pass_time, psys=psys, clock=tree.clock)


COUNTED = {
    "one package": ((P0,), ("package-0",)),
    "two packages": ((P0, P1), ("package-0", "package-1")),
    "packages in the order of their numbers": (
        (P1, Zone("intel-rapl:10", "package-10"), Zone("intel-rapl:2", "package-2")),
        ("package-1", "package-2", "package-10"),
    ),
    "memory apart": ((P0, DRAM0), ("package-0", "package-0/dram")),
    "memory of each package": ((P0, DRAM0, P1, DRAM1), ("package-0", "package-1", "package-0/dram", "package-1/dram")),
    "cores are part of their package": (
        (P0, Zone("intel-rapl:0:0", "core", 7.0), Zone("intel-rapl:0:1", "uncore", 1.0)),
        ("package-0",),
    ),
    "packages are part of the platform": ((P0, PSYS), ("package-0",)),
    "MMIO twins": ((P0, P1, Zone("intel-rapl-mmio:0", "package-0")), ("package-0", "package-1")),
    "MMIO alone": ((Zone("intel-rapl-mmio:0", "package-0"),), ("package-0",)),
    "MMIO where the other has no package": (
        (Zone("intel-rapl:0", "psys"), Zone("intel-rapl-mmio:0", "package-0")),
        ("package-0",),
    ),
    "mirrored dies": (
        (Zone("intel-rapl:0", "package-0-die-0", 68.0), Zone("intel-rapl:1", "package-0-die-1", 68.0, 10**9 + 400)),
        ("package-0-die-0",),
    ),
    "dies of their own": (
        (Zone("intel-rapl:0", "package-0-die-0"), Zone("intel-rapl:1", "package-0-die-1", 10.0, 7 * 10**9)),
        ("package-0-die-0", "package-0-die-1"),
    ),
    "dies of two packages that read alike": (
        (Zone("intel-rapl:0", "package-0-die-0"), Zone("intel-rapl:1", "package-1-die-0")),
        ("package-0-die-0", "package-1-die-0"),
    ),
    "a name that comes twice": ((P0, Zone("intel-rapl:3", "package-0", 50.0, 5 * 10**9)), ("package-0",)),
    "zones inside one another": (
        (
            Zone("intel-rapl:0", "package-0", folder=NESTED),
            Zone("intel-rapl:0:0", "dram", folder=f"{NESTED}/intel-rapl:0:0"),
        ),
        ("package-0", "package-0/dram"),
    ),
    "other control types": ((P0, Zone("dtpm:0", "package-9"), Zone("intel-rapl:x", "package-8")), ("package-0",)),
    "memory of what is no package": ((P0, Zone("intel-rapl:7:0", "dram"), PSYS), ("package-0",)),
    "memory that stands still": (
        (P0, DRAM0, P1, Zone("intel-rapl:1:2", "dram", 0.0)),
        ("package-0", "package-1", "package-0/dram"),
    ),
    "memory whose range is 0": ((P0, Zone("intel-rapl:0:2", "dram", 3.0, 0, 1)), ("package-0",)),
}


@pytest.mark.parametrize(("zones", "domains"), COUNTED.values(), ids=COUNTED)
def test_what_is_counted(tmp_path: Path, zones: tuple[Zone, ...], domains: tuple[str, ...]) -> None:
    tree = make_tree(tmp_path, *zones)
    for zone in zones:
        if zone.range_uj == 1:
            tree.write(zone.number, "0", "max_energy_range_uj")
    source = open_rapl(tree)
    assert source.domains == domains
    left_out = {"package-1/dram is left out", "package-0/dram is left out"}
    assert all(note.partition(":")[0] in left_out for note in source.notes)


@pytest.mark.parametrize(
    ("zones", "expected"),
    [((P0, DRAM0, P1, DRAM1), 7_000_000), ((P0, DRAM0, P1, Zone("intel-rapl:1:2", "dram", 0.0)), None), ((P0,), None)],
    ids=["all of it", "a part of it", "none of it"],
)
def test_the_memory_has_a_sum_where_all_of_it_is_counted(
    tmp_path: Path, zones: tuple[Zone, ...], expected: int | None
) -> None:
    tree = make_tree(tmp_path, *zones)
    source = open_rapl(tree)
    before = source.read()
    tree.pass_time(1.0)
    after = source.read()
    assert (after.dram_uj is None) == (expected is None)
    if expected is not None:
        assert (after.dram_uj or 0) - (before.dram_uj or 0) == expected


PLATFORM = {
    "the platform alone": ((P0, DRAM0, PSYS), ("psys",)),
    "of the package that shows it": ((P0, PSYS, Zone("intel-rapl:8", "psys-1", 0.0, 0)), ("psys",)),
    "by MMIO": ((P0, Zone("intel-rapl-mmio:1", "psys")), ("psys",)),
}


@pytest.mark.parametrize(("zones", "domains"), PLATFORM.values(), ids=PLATFORM)
def test_the_platform_is_counted_where_that_was_asked_for(
    tmp_path: Path, zones: tuple[Zone, ...], domains: tuple[str, ...]
) -> None:
    assert open_rapl(make_tree(tmp_path, *zones), psys=True).domains == domains


@pytest.mark.parametrize(
    ("zones", "reason"),
    [((P0,), "no psys zone"), ((PSYS, Zone("intel-rapl:8", "psys-1")), "psys, psys-1: which of them")],
    ids=["absent", "shown twice"],
)
def test_a_platform_that_is_not_counted_has_a_reason_and_a_way_out(
    tmp_path: Path, zones: tuple[Zone, ...], reason: str
) -> None:
    with pytest.raises(SourceError, match=reason) as refusal:
        open_rapl(make_tree(tmp_path, *zones), psys=True)
    assert "unset ENGINE_ENERGY_PSYS" in refusal.value.remedy


NOTHING = {
    "no zones": ((), "has no package zone"),
    "the platform alone": ((PSYS,), "has no package zone"),
    "a package that stands still": ((Zone("intel-rapl:0", "package-0", 0.0),), "package-0 .* do not move"),
    "one package of two stands still": ((P0, Zone("intel-rapl:1", "package-1", 0.0)), "counters of package-1 in"),
    "more watts than there are": ((Zone("intel-rapl:0", "package-0", 5000.0),), "not count joules"),
    "memory with more watts than there are": ((P0, Zone("intel-rapl:0:2", "dram", 5000.0)), "package-0/dram shows"),
    "a counter that falls": ((Zone("intel-rapl:0", "package-0", -10.0),), "rose by 262,14"),
}


@pytest.mark.parametrize(("zones", "reason"), NOTHING.values(), ids=NOTHING)
def test_what_does_not_measure_has_a_reason(tmp_path: Path, zones: tuple[Zone, ...], reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as refusal:
        open_rapl(make_tree(tmp_path, *zones))
    assert refusal.value.remedy == ""


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("energy_uj", "", "not a count"),
        ("energy_uj", "-1", "'-1', not a count"),
        ("energy_uj", "garbage", "'garbage'"),
        ("energy_uj", "1e9", "'1e9'"),
        ("energy_uj", "٣", "not a count"),
        ("energy_uj", f"{RANGE_UJ + 1}", f"from 0 to {RANGE_UJ}"),
        ("energy_uj", None, "No such file"),
        ("max_energy_range_uj", "0", "is 0: a wrap"),
        ("max_energy_range_uj", "much", "'much'"),
        ("max_energy_range_uj", None, "No such file"),
        ("name", None, "No such file"),
    ],
)
def test_a_zone_that_makes_no_sense_has_a_reason(tmp_path: Path, file: str, content: str | None, reason: str) -> None:
    tree = make_tree(tmp_path, P0, P1)
    if content is None:
        tree.remove("intel-rapl:1", file)
    else:
        tree.write("intel-rapl:1", content, file)
        if content == "0":
            tree.write("intel-rapl:1", "0")
    with pytest.raises(SourceError, match=reason):
        open_rapl(tree)


@pytest.mark.parametrize("file", ["energy_uj", "max_energy_range_uj"])
def test_without_permission_the_remedy_is_exact(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path, P0)
    forbid(monkeypatch, tree.root / "intel-rapl:0" / file)
    with pytest.raises(SourceError, match="no permission to read") as refusal:
        open_rapl(tree)
    assert (refusal.value.remedy, str(tree.root) in refusal.value.reason) == (RULE_REMEDY, True)


def test_memory_without_permission_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path, P0, DRAM0)
    forbid(monkeypatch, tree.root / "intel-rapl:0:2" / "energy_uj")
    source = open_rapl(tree)
    assert source.domains == ("package-0",)
    assert "package-0/dram is left out: no permission" in source.notes[0]


def test_without_a_tree_the_reason_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist") as refusal:
        RaplSource(tmp_path / "absent")
    assert "modprobe" in refusal.value.remedy


def test_a_zone_that_goes_while_it_is_watched_has_a_reason(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, P0, P1)

    def pass_time(seconds: float) -> None:
        tree.pass_time(seconds)
        if (tree.root / "intel-rapl:1").is_dir():
            tree.unplug("intel-rapl:1")

    with pytest.raises(SourceError, match="intel-rapl:1"):
        RaplSource(tree.root, pass_time, clock=tree.clock)


def test_one_move_is_not_enough(tmp_path: Path) -> None:
    tree = make_tree(tmp_path, P0)

    def pass_time(seconds: float) -> None:
        tree.pass_time(seconds)
        tree.draw("intel-rapl:0", 0.0)

    with pytest.raises(SourceError, match="do not move"):
        RaplSource(tree.root, pass_time, clock=tree.clock)


@pytest.mark.parametrize(("watts", "longest_s"), [(10.0, 0.02), (0.0, 0.1)], ids=["moving", "still"])
def test_the_test_takes_no_longer_than_it_must(tmp_path: Path, watts: float, longest_s: float) -> None:
    tree = make_tree(tmp_path, Zone("intel-rapl:0", "package-0", watts))
    began_ns = tree.clock()
    if watts:
        open_rapl(tree)
    else:
        with pytest.raises(SourceError):
            open_rapl(tree)
    assert tree.clock() - began_ns <= round(longest_s * 1e9)


@pytest.mark.parametrize(
    ("ranges_uj", "seconds"),
    [
        ((RANGE_UJ,), RANGE_UJ / 1e6 / 2000 / 4),
        ((RANGE_UJ, 65_532_610_987), 65_532_610_987 / 1e6 / 2000 / 4),
        ((2**62,), 60.0),
    ],
    ids=["one range", "the smaller of two", "a range that nothing fills"],
)
def test_counters_are_read_long_before_they_can_come_round(
    tmp_path: Path, ranges_uj: tuple[int, ...], seconds: float
) -> None:
    zones = (Zone(f"intel-rapl:{n}", f"package-{n}", 10.0 + n, n * 10**9, size) for n, size in enumerate(ranges_uj))
    assert open_rapl(make_tree(tmp_path, *zones)).max_interval_s == pytest.approx(seconds)
