from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.energy.sources.busy_time import BusyTime

TICKS = os.sysconf("SC_CLK_TCK")
"""A second."""


class Cpus:
    """A machine whose CPUs are busy, and clocked, as told."""

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.stat = folder / "stat"
        self.cpufreq = folder / "cpufreq"
        self._columns = {cpu: [1000] * 10 for cpu in range(cpus)}
        self._write()

    def work(self, cpu: int, seconds: float, column: int = 0) -> None:
        self._columns[cpu][column] += round(seconds * TICKS)
        self._write()

    def unplug(self, cpu: int) -> None:
        del self._columns[cpu]
        self._write()

    def plug(self, cpu: int) -> None:
        self._columns[cpu] = [5000] * 10
        self._write()

    def clock(self, policy: int, cpus: str, **ticks: int) -> None:
        """``khz_1000=50``: so long at 1000 kHz."""
        folder = self.cpufreq / f"policy{policy}"
        (folder / "stats").mkdir(parents=True, exist_ok=True)
        (folder / "affected_cpus").write_text(cpus + "\n")
        times = "".join(f"{name.removeprefix('khz_')} {count}\n" for name, count in ticks.items())
        (folder / "stats" / "time_in_state").write_text(times)

    def open(self) -> BusyTime:
        return BusyTime(self.stat, self.cpufreq)

    def _write(self) -> None:
        lines = [f"cpu{cpu} {' '.join(map(str, counts))}" for cpu, counts in self._columns.items()]
        self.stat.write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "intr 5 0 0", "ctxt 7"]) + "\n")


@pytest.fixture
def cpus(tmp_path: Path) -> Cpus:
    return Cpus(tmp_path)


def test_every_cpus_busy_seconds_add_up(cpus: Cpus) -> None:
    busy = cpus.open()
    assert (busy.cpus, busy.read()) == (2, 0.0)
    cpus.work(0, 1.5)
    cpus.work(1, 0.25)
    assert busy.read() == pytest.approx(1.75)
    cpus.work(1, 1.0)
    assert busy.read() == pytest.approx(2.75)


@pytest.mark.parametrize(
    ("column", "counts"),
    [(0, True), (1, True), (2, True), (3, False), (4, False), (5, True), (6, True), (7, False), (8, False)],
    ids=["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest, which is part of user"],
)
def test_what_is_busy(cpus: Cpus, column: int, counts: bool) -> None:
    busy = cpus.open()
    cpus.work(0, 1.0, column)
    assert busy.read() == (1.0 if counts else 0.0)


def test_half_the_clock_is_half_the_work(cpus: Cpus) -> None:
    cpus.clock(0, "0", khz_3000=100, khz_1500=100)
    cpus.clock(1, "1", khz_3000=0, khz_1500=0)
    busy = cpus.open()
    assert busy.knows_frequency
    cpus.work(0, 1.0)
    cpus.work(1, 1.0)
    cpus.clock(0, "0", khz_3000=100, khz_1500=200)
    cpus.clock(1, "1", khz_3000=50, khz_1500=50)
    assert busy.read() == pytest.approx(0.5 + 0.75)


def test_cpus_of_one_clock_share_its_frequency(cpus: Cpus) -> None:
    cpus.clock(0, "0 1", khz_4000=10, khz_1000=10)
    busy = cpus.open()
    cpus.work(0, 1.0)
    cpus.work(1, 3.0)
    cpus.clock(0, "0 1", khz_4000=10, khz_1000=40)
    assert busy.read() == pytest.approx(1.0)


def test_a_clock_that_did_not_tick_counts_whole(cpus: Cpus) -> None:
    cpus.clock(0, "0 1", khz_2000=10)
    busy = cpus.open()
    cpus.work(0, 1.0)
    assert busy.read() == 1.0


def test_frequencies_of_some_cpus_alone_are_not_used(cpus: Cpus) -> None:
    cpus.clock(0, "0", khz_3000=0, khz_1500=0)
    busy = cpus.open()
    assert not busy.knows_frequency
    cpus.work(0, 1.0)
    cpus.clock(0, "0", khz_3000=0, khz_1500=100)
    assert busy.read() == 1.0


@pytest.mark.parametrize("content", ["", "2000\n", "fast 10\n", "0 10\n"])
def test_frequencies_that_make_no_sense_are_not_used(cpus: Cpus, content: str) -> None:
    cpus.clock(0, "0 1", khz_2000=10)
    (cpus.cpufreq / "policy0" / "stats" / "time_in_state").write_text(content)
    assert not cpus.open().knows_frequency


def test_a_cpu_that_comes_counts_from_then_on(cpus: Cpus) -> None:
    busy = cpus.open()
    cpus.plug(2)
    assert busy.read() == 0.0
    cpus.work(2, 1.0)
    assert busy.read() == 1.0
    cpus.unplug(0)
    assert (busy.read(), busy.cpus) == (1.0, 2)


@pytest.mark.parametrize(
    "content", [None, "", "intr 1 2 3\n", "cpu 1 2 3 4 5 6 7\n", "cpu0 1 2 x 4 5 6 7 8\n", "cpu0 1 2\n"]
)
def test_a_kernel_that_does_not_tell_is_no_source(cpus: Cpus, content: str | None) -> None:
    if content is None:
        cpus.stat.unlink()
    else:
        cpus.stat.write_text(content)
    with pytest.raises((OSError, ValueError)):
        cpus.open()


def test_this_machine_tells() -> None:
    busy = BusyTime()
    assert busy.cpus == os.sysconf("SC_NPROCESSORS_ONLN")
    assert busy.read() >= 0
