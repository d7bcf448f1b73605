from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.energy.sources.cpu_time import CONTENDED, CpuTimes, busy_share, is_contended, others_share, read_cpu_times

SECOND = 1_000_000_000
TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")


def times(seconds: float, busy_s: float = 0.0, own_s: float = 0.0, cpus: int = 2) -> CpuTimes:
    return CpuTimes(*(round(s * SECOND) for s in (seconds * cpus, busy_s, own_s, seconds)))


def test_busy_is_all_but_idle_and_waiting_for_disks(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    times = read_cpu_times(stat)
    assert times is not None
    assert times.total_ns == 87_654_321 * TICK_NS
    assert times.busy_ns == (87_654_321 - 54_000) * TICK_NS


@pytest.mark.parametrize("content", [None, "", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8\n", "cpu a b c d e f g h\n"])
def test_what_the_kernel_does_not_tell_is_unknown(tmp_path: Path, content: str | None) -> None:
    stat = tmp_path / "stat"
    if content is not None:
        stat.write_text(content)
    assert read_cpu_times(stat) is None


def test_others_have_what_this_process_has_not() -> None:
    assert others_share(times(5, 3, 2), times(9, 9, 4)) == 0.5
    assert busy_share(times(5, 3, 2), times(9, 9, 4)) == 0.75


def test_a_process_ahead_of_the_ticks_leaves_nothing_for_others() -> None:
    start, end = CpuTimes(0, 0, 0, 0), CpuTimes(4 * SECOND, 2 * SECOND - TICK_NS, 2 * SECOND, 2 * SECOND)
    assert others_share(start, end) == 0.0


@pytest.mark.parametrize("cpus", [1, 2, 64, 256])
def test_too_little_time_tells_nothing_on_however_many_cpus(cpus: int) -> None:
    assert others_share(times(0, cpus=cpus), times(0.499, 0.4, cpus=cpus)) is None
    assert others_share(times(0, cpus=cpus), times(0.5, 0.25 * cpus, cpus=cpus)) == 0.5


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_ticks_alone_never_look_like_contention(cpus: int) -> None:
    """Every CPU's tick is missed at the start and counted at the end, in the shortest window that tells anything."""
    own_s = 0.5 * cpus
    start, end = times(0, cpus=cpus), times(0.5, own_s, own_s, cpus=cpus)
    late = CpuTimes(end.total_ns, end.busy_ns + 2 * cpus * TICK_NS, end.own_ns, end.time_ns)
    assert is_contended(others_share(start, late)) is False


def test_contention_begins_above_a_twentieth() -> None:
    assert [is_contended(share) for share in (None, 0.0, CONTENDED, 0.051, 1.0)] == [None, False, False, True, True]


def test_time_stolen_by_another_machine_went_to_others(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 0 100 0 0 0 0 0 0\n")
    start = read_cpu_times(stat)
    stat.write_text("cpu 100 0 0 200 0 0 0 300 0 0\n")
    end = read_cpu_times(stat)
    assert start is not None
    assert end is not None
    later = CpuTimes(end.total_ns, end.busy_ns, start.own_ns, start.time_ns + SECOND)
    assert others_share(start, later) == 0.75


def test_counts_that_stand_still_tell_nothing() -> None:
    """Some sandboxes show a /proc/stat of zeros."""
    assert others_share(CpuTimes(0, 0, 0, 0), CpuTimes(0, 0, SECOND, SECOND)) is None
    assert others_share(None, times(5)) is None


def test_this_process_is_told_from_others_on_this_machine() -> None:
    first, second = read_cpu_times(), read_cpu_times()
    assert first is not None
    assert second is not None
    assert second.own_ns >= first.own_ns > 0
    assert second.time_ns >= first.time_ns
    assert second.total_ns >= second.busy_ns
