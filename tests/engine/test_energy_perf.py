"""The power PMU: which events are counted, what they come to, and what stands in the way."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from engine.energy.sources.perf import PerfSource
from engine.energy.sources.perf_event import PerfEvent
from engine.energy.sources.permissions import PERF_REMEDY
from engine.energy.sources.source import SourceError
from engine.energy.window import energy_report
from tests.support.power_pmu import KIND, PowerPmu

TWO = {0: (0, 0), 32: (1, 0)}
DIES = {0: (0, 0), 8: (0, 1)}


def open_perf(pmu: PowerPmu, *, psys: bool = False) -> PerfSource:
    return PerfSource(pmu.root, pmu.cpus, pmu.pass_time, psys=psys, open_event=pmu.open, clock=pmu.clock)


def make_server(folder: Path) -> PowerPmu:
    pmu = PowerPmu(folder, TWO)
    for event, watts in (("energy-cores", 20.0), ("energy-pkg", 30.0), ("energy-ram", 4.0), ("energy-psys", 90.0)):
        pmu.add(event, watts, watts / 2 if event != "energy-psys" else 0.0)
    return pmu


def test_there_is_one_counter_for_each_package_and_its_memory(tmp_path: Path) -> None:
    pmu = make_server(tmp_path)
    source = open_perf(pmu)
    assert source.domains == ("package-0", "package-1", "package-0/dram", "package-1/dram")
    assert sorted(pmu.opened) == [(KIND, 2, 0), (KIND, 2, 32), (KIND, 3, 0), (KIND, 3, 32)]
    assert (source.name, source.kind, source.max_interval_s) == ("perf", "measured", None)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 100.0, 1_000_000.0])
def test_joules_are_exact(tmp_path: Path, seconds: float) -> None:
    pmu = make_server(tmp_path)
    source = open_perf(pmu)
    start = source.read()
    pmu.pass_time(seconds)
    end = source.read()
    assert (end.package_uj or 0) - (start.package_uj or 0) == pytest.approx(45e6 * seconds, abs=2)
    assert (end.dram_uj or 0) - (start.dram_uj or 0) == pytest.approx(6e6 * seconds, abs=2)
    assert energy_report(source, start, end).domains == source.domains


def test_the_platform_is_counted_where_that_was_asked_for(tmp_path: Path) -> None:
    """One of two packages shows it."""
    pmu = make_server(tmp_path)
    source = open_perf(pmu, psys=True)
    start = source.read()
    pmu.pass_time(1.0)
    end = source.read()
    assert (source.domains, end.dram_uj) == (("psys",), None)
    assert (end.package_uj or 0) - (start.package_uj or 0) == pytest.approx(90e6, abs=1)


@pytest.mark.parametrize(
    ("second", "domains"),
    [(68.0, ("package-0-die-0",)), (66.0, ("package-0-die-0", "package-0-die-1"))],
    ids=["mirrored", "of their own"],
)
def test_dies_count_once_each(tmp_path: Path, second: float, domains: tuple[str, ...]) -> None:
    pmu = PowerPmu(tmp_path, DIES)
    pmu.add("energy-pkg", 68.0, second)
    assert open_perf(pmu).domains == domains


def test_packages_that_draw_the_same_all_count(tmp_path: Path) -> None:
    pmu = PowerPmu(tmp_path, TWO)
    pmu.add("energy-pkg", 68.0, 68.0)
    assert open_perf(pmu).domains == ("package-0", "package-1")


def test_cpus_are_told_by_ranges_too(tmp_path: Path) -> None:
    pmu = PowerPmu(tmp_path, {0: (0, 0), 1: (1, 0), 2: (2, 0), 7: (3, 0)})
    pmu.write("cpumask", "0-2,7")
    pmu.add("energy-pkg", 10.0, 11.0, 12.0, 13.0)
    assert open_perf(pmu).domains == ("package-0", "package-1", "package-2", "package-3")


def test_memory_that_stands_still_is_left_out(tmp_path: Path) -> None:
    pmu = PowerPmu(tmp_path)
    pmu.add("energy-pkg", 30.0)
    pmu.add("energy-ram", 0.0)
    source = open_perf(pmu)
    assert (source.domains, source.read().dram_uj) == (("package-0",), None)
    assert "package-0/dram is left out" in source.notes[0]


def test_without_a_pmu_the_reason_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no power PMU"):
        PerfSource(tmp_path / "power", tmp_path)


def test_without_an_event_for_packages_the_reason_says_so(tmp_path: Path) -> None:
    pmu = PowerPmu(tmp_path)
    pmu.add("energy-cores", 10.0)
    with pytest.raises(SourceError, match="no event energy-pkg"):
        open_perf(pmu)
    with pytest.raises(SourceError, match="no event energy-psys") as refusal:
        open_perf(pmu, psys=True)
    assert "unset ENGINE_ENERGY_PSYS" in refusal.value.remedy


def test_two_platforms_are_none(tmp_path: Path) -> None:
    pmu = PowerPmu(tmp_path, TWO)
    pmu.add("energy-psys", 90.0, 80.0)
    with pytest.raises(SourceError, match="moves on 2 packages"):
        open_perf(pmu, psys=True)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_without_permission_the_remedy_is_exact(tmp_path: Path, number: int) -> None:
    pmu = make_server(tmp_path)
    pmu.refusal = OSError(number, os.strerror(number))
    with pytest.raises(SourceError, match="no permission to count energy-pkg") as refusal:
        open_perf(pmu)
    assert refusal.value.remedy == PERF_REMEDY
    assert "CAP_PERFMON" in PERF_REMEDY
    assert "perf_event_paranoid" in PERF_REMEDY


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT, errno.ENODEV, errno.EMFILE])
def test_an_event_that_the_kernel_refuses_has_a_reason(tmp_path: Path, number: int) -> None:
    pmu = make_server(tmp_path)
    pmu.refusal = OSError(number, os.strerror(number))
    with pytest.raises(SourceError, match=os.strerror(number)) as refusal:
        open_perf(pmu)
    assert refusal.value.remedy == ""


@pytest.mark.parametrize(
    ("watts", "reason"), [(0.0, "package-0 .* do not move"), (9000.0, "not count joules")], ids=["still", "too much"]
)
def test_an_event_that_makes_no_sense_has_a_reason(tmp_path: Path, watts: float, reason: str) -> None:
    pmu = PowerPmu(tmp_path)
    pmu.add("energy-pkg", watts)
    with pytest.raises(SourceError, match=reason):
        open_perf(pmu)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("type", "power"),
        ("cpumask", ""),
        ("cpumask", "all"),
        ("cpumask", "5"),
        ("events/energy-pkg", "config=0x02"),
        ("events/energy-pkg", "event=two"),
        ("events/energy-pkg.unit", "Watts"),
        ("events/energy-pkg.scale", "small"),
        ("events/energy-pkg.scale", "1/0"),
    ],
)
def test_a_description_that_makes_no_sense_has_a_reason(tmp_path: Path, file: str, content: str) -> None:
    pmu = make_server(tmp_path)
    pmu.write(file, content)
    with pytest.raises(SourceError, match="cannot be read"):
        open_perf(pmu)


def test_an_event_that_ends_poisons_its_window_and_the_next_is_exact_again(tmp_path: Path) -> None:
    pmu = make_server(tmp_path)
    source = open_perf(pmu)
    start = source.read()
    pmu.pass_time(1.0)
    pmu.broken["energy-pkg", 32] = OSError("the event has ended: its CPU went offline")
    report = energy_report(source, start, source.read())
    assert (report.kind, report.package_j) == ("unavailable", None)
    assert "went offline" in (report.reason or "")
    pmu.broken.clear()
    start = source.read()
    pmu.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == pytest.approx(45.0, abs=2e-6)


def test_an_event_that_stops_poisons_its_window(tmp_path: Path) -> None:
    pmu = make_server(tmp_path)
    source = open_perf(pmu)
    start = source.read()
    pmu.watts["energy-pkg", 0] = 0.0
    pmu.pass_time(1.0)
    report = energy_report(source, start, source.read())
    assert "package-0 has stood still" in (report.reason or "")


def test_an_event_that_falls_poisons_its_window(tmp_path: Path) -> None:
    pmu = make_server(tmp_path)
    source = open_perf(pmu)
    pmu.pass_time(10.0)
    start = source.read()
    pmu.pass_time(1.0)
    pmu.counts["energy-pkg", 0] -= 100 * 2**32
    assert "package-0 fell from" in (energy_report(source, start, source.read()).reason or "")


def test_an_event_of_this_kernel_counts_until_it_is_given_up() -> None:
    """The CPU's clock, which every kernel has: the power PMU needs hardware."""
    software, cpu_clock = 1, 0
    try:
        event = PerfEvent(software, cpu_clock, min(os.sched_getaffinity(0)))
    except OSError as error:
        assert error.errno in (errno.EACCES, errno.EPERM, errno.ENOSYS)  # noqa: PT017  or it counts
        pytest.skip(f"this process may not count events: {error}")
    before = event.read()
    time.sleep(0.01)
    assert event.read() > before
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    del event
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors - 1


def test_an_event_that_there_is_not_is_refused() -> None:
    with pytest.raises(OSError, match=r"\[Errno"):
        PerfEvent(2**31 - 1, 0, 0)
