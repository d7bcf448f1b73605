"""`engine-ctl energy sources` and `setup`: what works here and why not, and the files that the packages ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.energy.source_state import SourceState
from engine.energy.sources.permissions import PERMISSIONS
from engine_ctl.commands.energy_sources import lines
from tests.tools.command_line import engine_ctl

PACKAGING = Path(__file__).parents[2] / "packaging"
MEASURING = ["perf", "rapl", "hwmon", "meter"]


@pytest.fixture(autouse=True)
def _no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("POWERCAP", "POWER_PMU", "HWMON"):
        monkeypatch.setenv(f"ENGINE_{root}_ROOT", str(tmp_path / root.lower()))


def test_each_source_has_its_line_its_reason_and_its_remedy(tmp_path: Path) -> None:
    shown = engine_ctl("energy", "sources")
    assert shown.exit_code == 0
    first_words = [line.split()[0] for line in shown.stdout.splitlines() if not line.startswith(" ")]
    assert first_words[:4] == MEASURING
    assert f"rapl   no     {tmp_path / 'powercap'} does not exist" in shown.stdout
    assert "as root: modprobe intel_rapl_msr" in shown.stdout
    assert "name one: ENGINE_ENERGY_METER_FILE=" in shown.stdout
    assert "Nothing measures here" in shown.stdout


def test_one_that_works_is_told_with_what_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "joules").write_text("5 kWh")
    monkeypatch.setenv("ENGINE_ENERGY_METER_FILE", str(tmp_path / "joules"))
    shown = engine_ctl("energy", "sources").stdout
    assert "meter  used   measured: meter; moves every 1000 ms" in shown
    assert "Nothing measures" not in shown


def test_json_is_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "joules").write_text("5")
    monkeypatch.setenv("ENGINE_ENERGY_METER_FILE", str(tmp_path / "joules"))
    told = json.loads(engine_ctl("energy", "sources", "--json").stdout)
    assert told["source"] == "meter"
    sources = {source["name"]: source for source in told["sources"]}
    assert [name for name in sources if name in MEASURING] == MEASURING
    assert (sources["meter"]["works"], sources["meter"]["domains"], sources["meter"]["reason"]) == (True, ["meter"], "")
    assert (sources["perf"]["works"], sources["perf"]["kind"], sources["perf"]["update_ms"]) == (False, None, None)
    assert sources["perf"]["reason"]


def test_a_variable_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_PSYS", "maybe")
    refused = engine_ctl("energy", "sources", "--json")
    assert refused.exit_code != 0
    assert json.loads(refused.stdout)["error"]["params"]["field"] == "ENGINE_ENERGY_PSYS"


def test_setup_prints_what_the_packages_ship() -> None:
    shown = engine_ctl("energy", "setup").stdout
    for permission in PERMISSIONS:
        assert (PACKAGING / permission.packaged).read_text() in shown
        assert permission.path in shown
        assert all(command in shown for command in permission.commands)
    told = json.loads(engine_ctl("energy", "setup", "--json").stdout)["permissions"]
    assert {one["path"]: one["content"] for one in told} == {one.path: one.content for one in PERMISSIONS}


def test_what_is_left_out_stands_under_its_source() -> None:
    state = SourceState("rapl", "measured", ("package-0",), 1.0, 32.0, ("package-0/dram is left out: it stands still",))
    assert lines([state], "rapl")[1].strip() == state.notes[0]
