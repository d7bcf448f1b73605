from __future__ import annotations

from pathlib import Path

import pytest

from engine.energy.calibration import Baseline
from engine.energy.ladder import EnergyLadder, open_ladder
from engine.energy.sources.cpu_time import CpuTimes
from engine.energy.sources.rapl import RaplSource
from engine.energy.sources.source import EnergyReading, EnergySource
from engine.energy.window import PowerAverage, energy_report, with_active_interval
from tests.support.energy_config import make_energy_config
from tests.support.powercap_tree import PowercapTree

SECOND = 1_000_000_000


def make_reading(
    seconds: float, joules: float | None, epoch: int = 0, error: str = "", cpu: CpuTimes | None = None
) -> EnergyReading:
    package_uj = None if joules is None else int(joules * 1e6)
    return EnergyReading(int(seconds * SECOND), package_uj, epoch=epoch, error=error, cpu=cpu)


def times(total_s: float, busy_s: float, own_s: float) -> CpuTimes:
    """CPU times of two CPUs."""
    return CpuTimes(*(int(s * SECOND) for s in (total_s, busy_s, own_s, total_s / 2)))


@pytest.fixture
def source(tmp_path: Path) -> EnergySource:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    return RaplSource(tree.root, pause=lambda _: tree.spend_everywhere(1))


def test_alone_the_joules_are_measured(source: EnergySource) -> None:
    report = energy_report(source, make_reading(1, 10), make_reading(3, 50))
    assert (report.kind, report.source, report.domains) == ("measured", "rapl", ("package-0",))
    assert (report.package_j, report.attributed_j, report.window_ms) == (40.0, 40.0, 2000.0)
    assert report.rel_uncertainty == 0.001
    assert report.reason is None


def test_beside_others_a_share_is_attributed(source: EnergySource) -> None:
    report = energy_report(source, make_reading(1, 10), make_reading(3, 50), share=0.25)
    assert (report.kind, report.package_j, report.attributed_j) == ("attributed", 40.0, 10.0)


def test_beside_others_an_unknown_share_is_no_figure(source: EnergySource) -> None:
    report = energy_report(source, make_reading(1, 10), make_reading(3, 50), share=None)
    assert (report.kind, report.package_j, report.attributed_j) == ("unavailable", None, None)
    assert "how they shared the CPU is not known" in (report.reason or "")


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (None, make_reading(3, 50), "before it computed"),
        (make_reading(1, 10), None, "before it computed"),
        (make_reading(1, None, error="vanished"), make_reading(3, 50), "vanished"),
        (make_reading(1, 10), make_reading(3, None, error="garbage"), "garbage"),
        (make_reading(1, 10), make_reading(3, 50, epoch=1), "hole"),
        (make_reading(1, 10), make_reading(1.199, 50), "too short"),
    ],
)
def test_what_cannot_be_vouched_for_has_a_reason(
    source: EnergySource, start: EnergyReading | None, end: EnergyReading | None, reason: str
) -> None:
    report = energy_report(source, start, end)
    assert (report.kind, report.attributed_j, report.package_j) == ("unavailable", None, None)
    assert reason in (report.reason or "")


def test_a_report_tells_how_much_of_the_cpu_others_had(source: EnergySource) -> None:
    quiet, busy = (
        energy_report(source, make_reading(1, 10, cpu=times(0, 0, 0)), make_reading(3, 50, cpu=times(4, used, 2)))
        for used in (2.1, 2.3)
    )
    assert (quiet.others_cpu_share, busy.others_cpu_share) == pytest.approx((0.025, 0.075))
    assert (quiet.contended, busy.contended) == (False, True)


def test_an_execution_without_joules_still_tells_of_others() -> None:
    ladder = EnergyLadder([], {"rapl": "no such folder"})
    start, end = make_reading(1, None, cpu=times(0, 0, 0)), make_reading(3, None, cpu=times(4, 4, 2))
    report = ladder.report("none", start, end)
    assert (report.kind, report.others_cpu_share, report.contended) == ("unavailable", 0.5, True)


def test_in_too_short_a_window_nobody_knows_of_others(source: EnergySource) -> None:
    report = energy_report(
        source, make_reading(1, 10, cpu=times(0, 0, 0)), make_reading(1.4, 20, cpu=times(0.8, 0.4, 0.4))
    )
    assert (report.attributed_j, report.others_cpu_share, report.contended) == (10.0, None, None)


def test_a_report_names_the_share_and_idle_joules_beside_the_others(source: EnergySource) -> None:
    start, end = make_reading(1, 10), make_reading(3, 50)
    report = energy_report(source, start, end, 0.25, Baseline(6.0, age_s=90.0, stale="it is old"))
    assert (report.package_j, report.share, report.attributed_j, report.idle_j) == (40.0, 0.25, 10.0, 12.0)
    assert (report.calibration_age_s, report.calibration_stale) == (90.0, "it is old")
    without = energy_report(source, start, end)
    assert (without.share, without.idle_j, without.calibration_age_s) == (1.0, None, None)


def test_readings_beside_the_ends_of_the_active_interval_make_it_less_certain(source: EnergySource) -> None:
    start, end = make_reading(1, 10), make_reading(3, 50)
    report = energy_report(source, start, end)
    sharp = with_active_interval(report, start, end, (SECOND, 3 * SECOND))
    assert sharp.rel_uncertainty == report.rel_uncertainty == 0.001
    early, late = SECOND - 4_000_000, 3 * SECOND - 16_000_000
    loose = with_active_interval(report, start, end, (early, late))
    assert loose.rel_uncertainty == pytest.approx(0.001 + 0.020 / 2)
    assert loose.attributed_j == report.attributed_j


def test_where_nothing_is_known_nothing_gets_less_certain(source: EnergySource) -> None:
    start = make_reading(1, 10)
    unknown = energy_report(source, start, None)
    assert with_active_interval(unknown, start, None, (0, 1)) == unknown
    known = energy_report(source, start, make_reading(3, 50))
    assert with_active_interval(known, start, make_reading(3, 50), None) == known


def test_no_source_gives_its_own_reason() -> None:
    ladder = EnergyLadder([], {"rapl": "no such folder"})
    report = ladder.report("none", None, None)
    assert (report.kind, report.source, report.reason) == ("unavailable", "none", ladder.reason)
    assert ladder.report("rapl", None, None).reason == "no such folder"
    assert (ladder.read("none").package_uj, ladder.read("none").error) == (None, ladder.reason)
    assert ladder.availability() == {"rapl": "no such folder", "none": ""}


def test_a_plan_that_asked_for_none_is_told_so(source: EnergySource) -> None:
    report = EnergyLadder([source], {}).report("none", make_reading(1, 10), make_reading(3, 50))
    assert (report.kind, report.source) == ("unavailable", "none")
    assert "the plan names" in (report.reason or "")


def test_a_ladder_without_a_tree_is_none_with_the_reason(tmp_path: Path) -> None:
    ladder = open_ladder(make_energy_config(tmp_path))
    assert (ladder.name, ladder.max_interval_s("none")) == ("none", None)
    assert ladder.reason.startswith("nothing measures joules here (tried perf, rapl")


def test_live_watts_need_a_whole_window(source: EnergySource) -> None:
    average = PowerAverage(SECOND)
    average.add(make_reading(0.0, 0))
    average.add(make_reading(0.9, 90))
    assert average.watts is None
    average.add(make_reading(1.0, 25))
    assert average.watts == 25.0


def test_live_watts_forget_what_is_long_past() -> None:
    average = PowerAverage(SECOND)
    for tenth in range(11):
        average.add(make_reading(tenth / 10, tenth * 1.0))
    for tenth in range(1, 21):
        average.add(make_reading(1.0 + tenth / 10, 10.0 + tenth * 5.0))
    assert average.watts == pytest.approx(50.0)


def test_live_watts_do_not_average_over_a_hole() -> None:
    average = PowerAverage(SECOND)
    average.add(make_reading(0, 0))
    average.add(make_reading(2, None, epoch=1, error="gone"))
    average.add(make_reading(3, 5, epoch=1))
    assert average.watts is None
    average.add(make_reading(4, 35, epoch=1))
    assert average.watts == 30.0
