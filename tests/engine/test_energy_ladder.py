"""The ladder of sources: the best that works is used, and each that does not says why and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.energy.ladder import EnergyLadder, open_ladder
from engine.energy.source_state import SourceState
from engine.energy.sources.permissions import RULE_REMEDY
from tests.engine.test_energy_hwmon import make_server
from tests.support.energy_config import make_energy_config
from tests.support.powercap_tree import PowercapTree, forbid

MEASURING = ("perf", "rapl", "hwmon", "meter")


class Machine:
    """RAPL, hwmon and a meter by file, as far as they are wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.powercap = PowercapTree(folder / "powercap")
        self.powercap.add("intel-rapl:0", "package-0", watts=30.0)
        self.powercap.add("intel-rapl:1", "psys", 5 * 10**9, watts=90.0)
        self.hwmon = make_server(folder / "hwmon")
        (folder / "joules").write_text("1000")
        self.roots: dict[str, Any] = {
            "rapl": {"powercap_root": self.powercap.root},
            "hwmon": {"hwmon_root": self.hwmon.root},
            "meter": {"meter_file": folder / "joules"},
        }

    def open(self, *offered: str, **changes: Any) -> EnergyLadder:
        for name in offered:
            changes.update(self.roots[name])
        return open_ladder(make_energy_config(self.folder, **changes), self.pass_time)

    def pass_time(self, seconds: float) -> None:
        self.powercap.pass_time(seconds)
        self.hwmon.pass_time(seconds)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def measuring(ladder: EnergyLadder) -> dict[str, SourceState]:
    return {state.name: state for state in ladder.states() if state.name in MEASURING}


@pytest.mark.parametrize(
    ("offered", "best"),
    [((), "none"), (("meter",), "meter"), (("meter", "hwmon"), "hwmon"), (("meter", "hwmon", "rapl"), "rapl")],
)
def test_the_best_that_works_is_used(machine: Machine, offered: tuple[str, ...], best: str) -> None:
    ladder = machine.open(*offered)
    assert ladder.name == best
    assert [name for name, state in measuring(ladder).items() if state.works] == list(reversed(offered))
    assert tuple(measuring(ladder)) == MEASURING


def test_each_that_does_not_work_says_why(machine: Machine) -> None:
    ladder = machine.open()
    reasons = {name: state.reason for name, state in measuring(ladder).items()}
    assert "has no power PMU" in reasons["perf"]
    assert "offers no RAPL" in reasons["rapl"]
    assert "neither zenergy nor amd_energy" in reasons["hwmon"]
    assert "no meter is named" in reasons["meter"]
    assert set(ladder.availability()) >= {*MEASURING, "none"}


def test_every_answer_says_in_a_few_words_that_nothing_measures(machine: Machine) -> None:
    ladder = machine.open()
    reason = ladder.report("none", None, None).reason
    assert reason == ladder.reason
    assert reason == (
        "nothing measures joules here (tried perf, rapl, hwmon, meter, model); engine-ctl energy sources says why"
    )


def test_a_reason_goes_with_its_remedy_and_the_state_has_them_apart(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, machine.powercap.root / "intel-rapl:0" / "energy_uj")
    ladder = machine.open("rapl")
    state = measuring(ladder)["rapl"]
    assert (state.works, state.remedy) == (False, RULE_REMEDY)
    assert state.reason.endswith("energy_uj")
    assert ladder.availability()["rapl"] == f"{state.reason}; {state.remedy}"
    assert ladder.read("rapl").error == ladder.availability()["rapl"]


def test_a_state_tells_what_is_counted(machine: Machine) -> None:
    state = measuring(machine.open("rapl"))["rapl"]
    assert (state.works, state.kind, state.domains, state.update_ms) == (True, "measured", ("package-0",), 1.0)
    assert state.max_interval_s is not None


def test_with_the_platform_asked_for_no_packages_are_counted(machine: Machine) -> None:
    ladder = machine.open("rapl", "hwmon", energy_psys=True)
    assert measuring(ladder)["rapl"].domains == ("psys",)
    assert "not the platform" in measuring(ladder)["hwmon"].reason


def test_a_command_alone_is_slow(machine: Machine) -> None:
    ladder = machine.open("rapl", meter_command=("echo", "5"))
    assert [ladder.is_slow(name) for name in ("rapl", "meter", "perf")] == [False, True, False]
    assert ladder.min_interval_s("meter") >= 1.0
    assert ladder.min_interval_s("perf") == 0.0


def test_what_the_report_names_is_what_was_read(machine: Machine) -> None:
    ladder = machine.open("rapl", "meter")
    for name, domains in (("rapl", ("package-0",)), ("meter", ("meter",))):
        start = ladder.read(name)
        report = ladder.report(name, start, start)
        assert (report.source, report.kind) == (name, "unavailable")
        assert "too short" in (report.reason or "")
        assert measuring(ladder)[name].domains == domains


def test_a_tree_that_may_not_be_entered_is_a_reason(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    is_dir, iterdir = Path.is_dir, Path.iterdir

    def entered(path: Path) -> Path:
        if machine.folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return path

    monkeypatch.setattr(Path, "is_dir", lambda path: is_dir(entered(path)))
    monkeypatch.setattr(Path, "iterdir", lambda path: iterdir(entered(path)))
    states = measuring(machine.open("rapl", "hwmon"))
    assert all("Permission denied" in states[name].reason for name in ("perf", "rapl", "hwmon"))


def test_what_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    pauses: list[float] = []
    open_ladder(make_energy_config(tmp_path), pauses.append)
    assert pauses == []
