from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import default_config
from engine.energy.ladder import open_ladder
from engine.energy.powercap import PowercapError
from engine.energy.rapl import RaplSource
from tests.powercap_tree import RANGE_UJ, PowercapTree, make_server


def open_rapl(tree: PowercapTree) -> RaplSource:
    return RaplSource(tree.root, pause=lambda _: tree.spend_everywhere(100))


def make_laptop(root: Path) -> PowercapTree:
    tree = PowercapTree(root)
    tree.add("intel-rapl:0", "package-0")
    return tree


def spent_between(source: RaplSource, tree: PowercapTree, zone: str, microjoules: int) -> int:
    before = source.read().package_uj
    tree.spend(zone, microjoules)
    after = source.read().package_uj
    assert before is not None
    assert after is not None
    return after - before


def test_packages_are_summed_and_nothing_else(tmp_path: Path) -> None:
    tree = make_server(tmp_path)
    source = open_rapl(tree)
    assert source.domains == ("package-0", "package-1", "dram", "dram")
    before = source.read()
    for number, zone in enumerate(("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:2")):
        tree.spend(zone, 10**number)
    tree.spend("intel-rapl-mmio:0", 10**6)
    after = source.read()
    assert (before.package_uj, before.dram_uj) != (None, None)
    assert (after.package_uj or 0) - (before.package_uj or 0) == 11
    assert (after.dram_uj or 0) - (before.dram_uj or 0) == 1000


def test_mmio_serves_where_it_is_alone(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl-mmio:0", "package-0")
    assert spent_between(open_rapl(tree), tree, "intel-rapl-mmio:0", 77) == 77


def test_a_counter_that_wraps_goes_on(tmp_path: Path) -> None:
    tree = make_laptop(tmp_path)
    source = open_rapl(tree)
    assert spent_between(source, tree, "intel-rapl:0", RANGE_UJ - 5) == RANGE_UJ - 5
    assert spent_between(source, tree, "intel-rapl:0", 12_345) == 12_345


def test_every_zone_wraps_by_its_own_range(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0", start_uj=990, range_uj=1000)
    tree.add("intel-rapl:1", "package-1", start_uj=4_000_000, range_uj=5_000_000)
    source = RaplSource(tree.root, pause=lambda _: tree.spend_everywhere(1))
    before = source.read().package_uj or 0
    tree.spend("intel-rapl:0", 500)
    tree.spend("intel-rapl:1", 2_000_000)
    assert (source.read().package_uj or 0) - before == 2_000_500


def test_dies_that_mirror_their_package_count_once(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0-die-0", start_uj=5_000_000_000)
    tree.add("intel-rapl:1", "package-0-die-1", start_uj=5_000_000_400)
    tree.add("intel-rapl:2", "package-1-die-0", start_uj=5_000_000_000)
    assert open_rapl(tree).domains == ("package-0-die-0", "package-1-die-0")


def test_dies_with_counters_of_their_own_all_count(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0-die-0", start_uj=5_000_000_000)
    tree.add("intel-rapl:1", "package-0-die-1", start_uj=6_000_000_000)
    assert open_rapl(tree).domains == ("package-0-die-0", "package-0-die-1")


@pytest.mark.parametrize("content", ["", "garbage", "-5", "1e9", str(RANGE_UJ + 1), "12 34"])
def test_a_reading_that_makes_no_sense_poisons_its_window(tmp_path: Path, content: str) -> None:
    tree = make_laptop(tmp_path)
    source = open_rapl(tree)
    before = source.read()
    tree.write("intel-rapl:0", content)
    failed = source.read()
    assert failed.package_uj is None
    assert "could not be read" in failed.error
    tree.spend("intel-rapl:0", 1000)
    after = source.read()
    assert after.error == ""
    assert after.epoch == before.epoch + 1


def test_a_zone_that_vanishes_poisons_its_window(tmp_path: Path) -> None:
    tree = make_server(tmp_path)
    source = open_rapl(tree)
    tree.remove("intel-rapl:1")
    assert source.read().package_uj is None
    tree.spend("intel-rapl:1", 0)
    before = source.read().package_uj
    tree.spend("intel-rapl:1", 9)
    assert before is not None
    assert source.read().package_uj == before + 9


def test_without_a_tree_the_reason_says_so(tmp_path: Path) -> None:
    with pytest.raises(PowercapError, match="does not exist"):
        RaplSource(tmp_path / "absent")


def test_without_packages_the_reason_says_so(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "psys")
    with pytest.raises(PowercapError, match="no package zone"):
        RaplSource(tmp_path)


def test_a_counter_that_stands_still_is_no_source(tmp_path: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(PowercapError, match="do not move"):
        RaplSource(make_laptop(tmp_path).root, pause=pauses.append)
    assert 0.05 <= sum(pauses) <= 0.2


def test_a_range_of_zero_is_no_source(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0", range_uj=1)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_text("0")
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("0")
    with pytest.raises(PowercapError, match="is 0"):
        RaplSource(tmp_path)


def test_a_file_that_cannot_be_read_is_no_source(tmp_path: Path) -> None:
    tree = make_laptop(tmp_path)
    tree.remove("intel-rapl:0")
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()
    with pytest.raises(PowercapError, match="cannot be read"):
        RaplSource(tmp_path)


def test_without_permission_the_reason_is_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By patching: the superuser, whom tests may run as, can read everything.
    tree = make_laptop(tmp_path)
    open_file = os.open

    def guarded(path: Path, flags: int) -> int:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, flags)

    monkeypatch.setattr(os, "open", guarded)
    ladder = open_ladder(replace(default_config(), powercap_root=tree.root))
    assert ladder.name == "none"
    assert "no permission" in ladder.reason
    assert "udev" in ladder.reason
    assert ladder.availability() == {"rapl": ladder.reason.removeprefix("rapl: "), "none": ""}
