"""Joules by a formula: what goes in, what comes out, and that they are never taken for more than they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import default_config
from engine.energy.ladder import EnergyLadder, open_ladder
from engine.energy.sources.busy_time import TICK_MS, BusyTime
from engine.energy.sources.model import PowerModel, PowerModelSource, declared_model
from engine.energy.sources.source import EnergyReading
from protocol.errors import InvalidRequest
from protocol.power_curve import PowerCurve
from tests.engine.test_busy_time import TICKS, Cpus
from tests.support.energy_config import make_energy_config


def make_source(cpus: Cpus, idle: float = 10.0, busy: float = 20.0, error: float = 0.2) -> PowerModelSource:
    curve = PowerCurve(idle_watts=idle, busy_watts=busy, rel_error=error)
    return PowerModelSource(PowerModel(curve), cpus.open())


def joules(start: EnergyReading, end: EnergyReading) -> float:
    assert start.package_uj is not None
    assert end.package_uj is not None
    return (end.package_uj - start.package_uj) / 1e6


def seconds(start: EnergyReading, end: EnergyReading) -> float:
    return (end.time_ns - start.time_ns) / 1e9


@pytest.fixture
def cpus(tmp_path: Path) -> Cpus:
    return Cpus(tmp_path)


def test_joules_are_idle_watts_over_time_and_busy_watts_over_cpu_time(cpus: Cpus) -> None:
    source = make_source(cpus)
    start = source.read()
    cpus.work(0, 1.0)
    cpus.work(1, 0.5)
    end = source.read()
    assert joules(start, end) == pytest.approx(10.0 * seconds(start, end) + 20.0 * 1.5, abs=2e-6)
    assert end.zones_uj == (end.package_uj,)


@given(works=st.lists(st.integers(0, 500), min_size=1, max_size=6))
def test_reads_in_between_change_nothing(works: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    cpus = Cpus(tmp_path_factory.mktemp("cpus"))
    often, once = make_source(cpus), make_source(cpus)
    starts = often.read(), once.read()
    for ticks in works:
        cpus.work(0, ticks / TICKS)
        often.read()
    ends = often.read(), once.read()
    busy = [joules(start, end) - 10.0 * seconds(start, end) for start, end in zip(starts, ends, strict=True)]
    assert busy == pytest.approx([20.0 * sum(works) / TICKS] * 2, abs=1e-5)


def test_declared_watts_are_those_of_all_cpus_busy() -> None:
    model = declared_model(100.0, cpus=4)
    assert (model.curve.idle_watts, model.declared_watts) == (10.0, 100.0)
    assert model.curve.idle_watts + 4 * model.curve.busy_watts == pytest.approx(100.0)
    assert model.curve.rel_error == 0.5


def test_what_cannot_be_read_leaves_a_hole(cpus: Cpus) -> None:
    source = make_source(cpus)
    before, text = source.read(), cpus.stat.read_text()
    cpus.stat.write_text("nothing\n")
    failed = source.read()
    cpus.stat.write_text(text)
    after = source.read()
    assert (failed.package_uj, after.package_uj is None) == (None, False)
    assert "CPU times" in failed.error
    report = EnergyLadder([source], {}).report("model", replace(before, time_ns=0), replace(after, time_ns=10**9))
    assert (report.kind, "hole" in (report.reason or "")) == ("unavailable", True)


def test_a_modelled_report_says_so_whatever_the_share(cpus: Cpus) -> None:
    ladder = EnergyLadder([make_source(cpus)], {})
    start, end = EnergyReading(0, 0), EnergyReading(2 * 10**9, 30_000_000)
    for share in (1.0, 0.5):
        report = ladder.report("model", start, end, share)
        assert (report.kind, report.source, report.attributed_j) == ("modelled", "model", 30.0 * share)
        assert report.curve == PowerCurve(idle_watts=10.0, busy_watts=20.0, rel_error=0.2)
        assert report.rel_uncertainty == pytest.approx(0.2 + 2 * TICK_MS / 2000)


def test_a_model_is_never_the_best_source(cpus: Cpus) -> None:
    ladder = EnergyLadder([make_source(cpus)], {"rapl": "absent"})
    assert (ladder.name, ladder.reason) == (
        "none",
        "nothing measures joules here (tried rapl); engine-ctl energy sources says why",
    )
    assert ladder.availability() == {"model": "", "rapl": "absent", "none": ""}
    assert ladder.max_interval_s("model") is None


def test_with_declared_watts_there_is_a_model(tmp_path: Path) -> None:
    config = make_energy_config(tmp_path, data_dir=tmp_path, tdp_watts=50.0)
    source = open_ladder(config).source("model")
    assert isinstance(source, PowerModelSource)
    assert (source.kind, source.calibrated, source.rel_error) == ("modelled", False, 0.5)
    first, second = source.read(), source.read()
    least = 5.0 * seconds(first, second)
    assert least - 1e-5 <= joules(first, second) <= 50.0 * seconds(first, second) + 45.0 * 0.04 * BusyTime().cpus


def test_without_any_watts_there_is_none(tmp_path: Path) -> None:
    ladder = open_ladder(make_energy_config(tmp_path, data_dir=tmp_path, tdp_watts=None))
    assert ladder.source("model") is None
    assert "ENGINE_TDP_WATTS" in ladder.availability()["model"]
    assert "engine-ctl energy calibrate" in ladder.availability()["model"]
    assert ladder.read("model").package_uj is None


@pytest.mark.parametrize("given_watts", ["0", "-5", "nan", "inf", "1e9", "lots"])
def test_watts_that_make_no_sense_are_refused(given_watts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_TDP_WATTS", given_watts)
    with pytest.raises(InvalidRequest, match="ENGINE_TDP_WATTS"):
        default_config()


def test_declared_watts_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_TDP_WATTS", "65.5")
    assert default_config().tdp_watts == 65.5
    monkeypatch.setenv("ENGINE_TDP_WATTS", "")
    assert default_config().tdp_watts is None
