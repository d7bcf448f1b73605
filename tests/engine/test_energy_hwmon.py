"""AMD's sockets by a hwmon driver: which counters are counted, what they come to, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.energy.sources.hwmon import HwmonSource
from engine.energy.sources.permissions import RULE_REMEDY
from engine.energy.sources.source import SourceError
from engine.energy.window import energy_report
from tests.support.powercap_tree import forbid
from tests.support.virtual_clock import VirtualClock


class HwmonTree:
    """``hwmon0`` is a temperature; the others are drivers that are added, with counters by label."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = VirtualClock()
        self._watts: dict[Path, float] = {}
        self._counts: dict[Path, int] = {}
        self._add_folder("coretemp")

    def add(self, driver: str, **watts: float) -> None:
        folder = self._add_folder(driver)
        for number, (label, drawn) in enumerate(watts.items(), 1):
            (folder / f"energy{number}_label").write_text(label + "\n")
            file = folder / f"energy{number}_input"
            self._watts[file], self._counts[file] = drawn, number * 10**9
        self.pass_time(0.0)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for file, watts in self._watts.items():
            self._counts[file] += round(watts * seconds * 1e6)
            file.write_text(f"{self._counts[file]}\n")

    def draw(self, file: Path, watts: float) -> None:
        self._watts[file] = watts

    def file(self, driver: int, number: int, kind: str = "input") -> Path:
        return self.root / f"hwmon{driver}" / f"energy{number}_{kind}"

    def _add_folder(self, driver: str) -> Path:
        folder = self.root / f"hwmon{len(list(self.root.glob('hwmon*')))}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(driver + "\n")
        return folder


def open_hwmon(tree: HwmonTree) -> HwmonSource:
    return HwmonSource(tree.root, tree.pass_time, clock=tree.clock)


def make_server(root: Path) -> HwmonTree:
    tree = HwmonTree(root)
    tree.add("zenergy", Ecore000=5.0, Ecore001=6.0, Esocket1=80.0, Esocket0=60.0)
    return tree


def test_sockets_are_summed_and_cores_never(tmp_path: Path) -> None:
    tree = make_server(tmp_path)
    source = open_hwmon(tree)
    start = source.read()
    tree.pass_time(1.5)
    report = energy_report(source, start, source.read())
    assert (report.domains, report.package_j, report.source) == (("package-0", "package-1"), 210.0, "hwmon")
    assert (source.max_interval_s, source.read().dram_uj) == (None, None)


@pytest.mark.parametrize("drivers", [("zenergy", "amd_energy"), ("amd_energy", "zenergy")])
def test_two_drivers_of_the_same_counters_count_once(tmp_path: Path, drivers: tuple[str, ...]) -> None:
    tree = HwmonTree(tmp_path)
    for driver in drivers:
        tree.add(driver, Esocket0=50.0)
    source = open_hwmon(tree)
    start = source.read()
    tree.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 50.0


def test_the_older_driver_serves_where_it_is_alone(tmp_path: Path) -> None:
    tree = HwmonTree(tmp_path)
    tree.add("amd_energy", Ecore000=5.0, Esocket0=50.0)
    assert open_hwmon(tree).domains == ("package-0",)


def test_without_a_folder_the_reason_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither zenergy nor amd_energy"):
        HwmonSource(tmp_path / "absent")


NOTHING: dict[str, tuple[Callable[[HwmonTree], object], str]] = {
    "no driver": (lambda tree: None, "neither zenergy nor amd_energy"),
    "cores alone": (lambda tree: tree.add("zenergy", Ecore000=5.0), "no counter of a whole socket"),
    "no counters": (lambda tree: tree.add("zenergy"), "no counter of a whole socket"),
    "a counter that stands still": (lambda tree: tree.add("zenergy", Esocket0=0.0), "package-0 .* do not move"),
    "one of two stands still": (
        lambda tree: tree.add("zenergy", Esocket0=9.0, Esocket1=0.0),
        "counters of package-1 in",
    ),
    "a counter that falls": (lambda tree: tree.add("zenergy", Esocket0=-9.0), "package-0 fell from"),
    "more watts than there are": (lambda tree: tree.add("zenergy", Esocket0=9000.0), "not count joules"),
}


@pytest.mark.parametrize(("build", "reason"), NOTHING.values(), ids=NOTHING)
def test_what_does_not_measure_has_a_reason(tmp_path: Path, build: Callable[[HwmonTree], object], reason: str) -> None:
    tree = HwmonTree(tmp_path)
    build(tree)
    with pytest.raises(SourceError, match=reason) as refusal:
        open_hwmon(tree)
    assert refusal.value.remedy == ""


@pytest.mark.parametrize("content", ["", "garbage", "-1", "1.5", str(2**64)])
def test_a_counter_that_makes_no_sense_has_a_reason(tmp_path: Path, content: str) -> None:
    tree = make_server(tmp_path)
    tree.file(1, 3).write_text(content)
    with pytest.raises(SourceError, match="not a count"):
        open_hwmon(tree)


def test_without_permission_the_remedy_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_server(tmp_path)
    forbid(monkeypatch, tree.file(1, 4))
    with pytest.raises(SourceError, match="no permission to read") as refusal:
        open_hwmon(tree)
    assert refusal.value.remedy == RULE_REMEDY


def test_the_platform_is_not_what_it_counts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not the platform"):
        HwmonSource(make_server(tmp_path).root, psys=True)


POISONED: dict[str, tuple[Callable[[HwmonTree], object], str]] = {
    "vanishes": (lambda tree: tree.file(1, 3).unlink(), "No such file"),
    "garbage": (lambda tree: tree.file(1, 4).write_text("garbage"), "'garbage', not a count"),
    "negative": (lambda tree: tree.file(1, 4).write_text("-5"), "'-5', not a count"),
    "reset": (lambda tree: tree.file(1, 4).write_text("0"), "package-0 fell from"),
    "jumps": (lambda tree: tree.file(1, 4).write_text(str(10**12)), "package-0 rose by"),
}


@pytest.mark.parametrize(("spoil", "reason"), POISONED.values(), ids=POISONED)
def test_a_counter_that_fails_poisons_its_window_alone(
    tmp_path: Path, spoil: Callable[[HwmonTree], object], reason: str
) -> None:
    tree = make_server(tmp_path)
    source = open_hwmon(tree)
    start = source.read()
    tree.pass_time(1.0)
    spoil(tree)
    report = energy_report(source, start, source.read())
    assert (report.kind, report.package_j) == ("unavailable", None)
    assert reason in (report.reason or "")
    tree.pass_time(0.0)
    start = source.read()
    tree.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 140.0


def test_a_counter_that_stops_poisons_its_window(tmp_path: Path) -> None:
    tree = make_server(tmp_path)
    source = open_hwmon(tree)
    start = source.read()
    tree.draw(tree.file(1, 3), 0.0)
    tree.pass_time(1.0)
    assert "package-1 has stood still" in (energy_report(source, start, source.read()).reason or "")


def test_a_driver_that_comes_back_with_other_labels_is_not_mistaken(tmp_path: Path) -> None:
    tree = make_server(tmp_path)
    source = open_hwmon(tree)
    tree.file(1, 3).write_text("?")
    assert source.read().error
    tree.pass_time(0.0)
    tree.file(1, 3, "label").write_text("Ecore002\n")
    assert "no longer the counter of package-1" in source.read().error
