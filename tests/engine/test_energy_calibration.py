"""Calibrations on disk: which count, how old they are, and when they no longer hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from engine import _core
from engine.energy.calibration import STALE_AFTER_S, Calibrations, PoweredMachine, powered_machine
from engine.energy.ladder import open_ladder
from engine.energy.sources.model import PowerModelSource
from protocol.calibration import EnergyCalibration, PowerSample
from protocol.errors import RecordStoreUnavailable
from protocol.power_curve import PowerCurve
from protocol.record_entry import timestamp
from tests.support.energy_config import make_energy_config

MACHINE = PoweredMachine("Test CPU", 4, ("performance",))
THEN = datetime(2030, 1, 1, tzinfo=timezone.utc)


def make_calibration(**changes: Any) -> EnergyCalibration:
    sample = PowerSample(load="idle", threads=0, seconds=10.0, busy_cpus=0.0, others_cpu_share=0.0, watts=12.0)
    fields = {
        "measured_at": timestamp(THEN),
        "source": "rapl",
        "cpu_model": MACHINE.cpu_model,
        "cpus": MACHINE.cpus,
        "governors": MACHINE.governors,
        "idle_watts": 12.0,
        "idle_busy_share": 0.0,
        "curve": PowerCurve(idle_watts=11.0, busy_watts=9.0, rel_error=0.15),
        "samples": (sample,),
    }
    return EnergyCalibration(**{**fields, **changes})


def open_calibrations(folder: Path, machine: PoweredMachine = MACHINE, later_s: float = 60.0) -> Calibrations:
    return Calibrations(folder, machine, now=lambda: THEN + timedelta(seconds=later_s))


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    kept, path = make_calibration(), open_calibrations(tmp_path).keep(make_calibration())
    assert path == tmp_path / "energy" / "rapl.json"
    again = open_calibrations(tmp_path)
    assert (again.newest(), again.unusable) == (kept, {})
    assert [file.name for file in path.parent.iterdir()] == ["rapl.json"]


def test_what_cannot_be_put_in_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    calibrations = open_calibrations(tmp_path)
    (tmp_path / "energy" / "rapl.json").mkdir(parents=True)
    with pytest.raises(RecordStoreUnavailable, match="cannot be written"):
        calibrations.keep(make_calibration())
    assert [file.name for file in (tmp_path / "energy").iterdir()] == ["rapl.json"]
    assert calibrations.newest() is None


def test_each_source_has_its_own_idle_power_and_the_model_the_newest_curve(tmp_path: Path) -> None:
    calibrations = open_calibrations(tmp_path)
    calibrations.keep(make_calibration())
    curve = PowerCurve(idle_watts=20.0, busy_watts=10.0, rel_error=0.2)
    later = timestamp(THEN + timedelta(seconds=30))
    calibrations.keep(make_calibration(source="meter", idle_watts=25.0, curve=curve, measured_at=later))
    watts = {source: calibrations.baseline(source) for source in ("rapl", "meter", "model", "perf")}
    assert [None if found is None else found.idle_watts for found in watts.values()] == [12.0, 25.0, 20.0, None]
    assert watts["rapl"] is not None
    assert watts["meter"] is not None
    assert (watts["rapl"].age_s, watts["meter"].age_s) == (60.0, 30.0)


def test_idle_power_alone_makes_no_model(tmp_path: Path) -> None:
    calibrations = open_calibrations(tmp_path)
    calibrations.keep(make_calibration(curve=None))
    assert (calibrations.newest(), calibrations.baseline("model")) == (None, None)


@pytest.mark.parametrize(
    ("machine", "later_s", "stale"),
    [
        (MACHINE, STALE_AFTER_S, None),
        (MACHINE, STALE_AFTER_S + 86_400, "it is 31 days old; calibrate again"),
        (MACHINE, -5.0, None),
        (replace(MACHINE, governors=("powersave",)), 60.0, "the frequency governor was performance and is powersave"),
        (replace(MACHINE, governors=()), 60.0, "the frequency governor was performance and is unknown"),
    ],
)
def test_what_may_no_longer_hold_is_flagged(
    tmp_path: Path, machine: PoweredMachine, later_s: float, stale: str | None
) -> None:
    open_calibrations(tmp_path).keep(make_calibration())
    baseline = open_calibrations(tmp_path, machine, later_s).baseline("rapl")
    assert baseline is not None
    assert baseline.age_s >= 0
    assert (baseline.stale or "").startswith(stale or "")
    assert (baseline.stale is None) == (stale is None)


@pytest.mark.parametrize("machine", [replace(MACHINE, cpu_model="Other CPU"), replace(MACHINE, cpus=8)])
def test_another_machines_does_not_count(tmp_path: Path, machine: PoweredMachine) -> None:
    open_calibrations(tmp_path).keep(make_calibration())
    calibrations = open_calibrations(tmp_path, machine)
    assert (calibrations.newest(), calibrations.baseline("rapl")) == (None, None)
    assert "not of this machine" in calibrations.unusable["rapl.json"]


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\xff", '{"schema_version": 2}'])
def test_a_damaged_file_is_told_and_does_not_count(tmp_path: Path, content: str) -> None:
    path = open_calibrations(tmp_path).keep(make_calibration())
    path.write_text(content, encoding="latin-1")
    calibrations = open_calibrations(tmp_path)
    assert calibrations.newest() is None
    assert "holds no calibration" in calibrations.unusable["rapl.json"]


def test_a_day_that_is_none_is_a_damaged_file(tmp_path: Path) -> None:
    path = open_calibrations(tmp_path).keep(make_calibration())
    path.write_text(path.read_text().replace("2030-01-01", "2030-13-99"))
    assert "holds no calibration" in open_calibrations(tmp_path).unusable["rapl.json"]


def test_the_ladder_opens_with_the_model_of_this_machine(tmp_path: Path) -> None:
    here = powered_machine(_core.cpu_model())
    mine = make_calibration(cpu_model=here.cpu_model, cpus=here.cpus, governors=here.governors)
    Calibrations(tmp_path, here).keep(mine)
    config = make_energy_config(tmp_path, data_dir=tmp_path, tdp_watts=50.0)
    source = open_ladder(config).source("model")
    assert isinstance(source, PowerModelSource)
    assert (source.calibrated, source.rel_error) == (True, 0.15)


def test_the_ladder_says_why_a_calibration_does_not_count(tmp_path: Path) -> None:
    Calibrations(tmp_path, MACHINE).keep(make_calibration())
    config = make_energy_config(tmp_path, data_dir=tmp_path, tdp_watts=None)
    assert "not of this machine" in open_ladder(config).availability()["model"]


def test_governors_are_read_of_every_cpu(tmp_path: Path) -> None:
    for cpu, governor in enumerate(("powersave\n", "performance\n", "powersave\n")):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor)
    assert powered_machine("Test CPU", tmp_path).governors == ("performance", "powersave")
    assert powered_machine("Test CPU", tmp_path / "none").governors == ()
