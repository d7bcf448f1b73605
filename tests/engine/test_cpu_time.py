from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.energy.cpu_time import CpuTimes, others_share, read_cpu_times

SECOND = 1_000_000_000
TICK_NS = SECOND // os.sysconf("SC_CLK_TCK")


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
    start, end = CpuTimes(5 * SECOND, 3 * SECOND, 2 * SECOND), CpuTimes(13 * SECOND, 9 * SECOND, 4 * SECOND)
    assert others_share(start, end) == 0.5


def test_a_process_ahead_of_the_ticks_leaves_nothing_for_others() -> None:
    start, end = CpuTimes(0, 0, 0), CpuTimes(4 * SECOND, 2 * SECOND - TICK_NS, 2 * SECOND)
    assert others_share(start, end) == 0.0


def test_too_little_time_tells_nothing() -> None:
    assert others_share(CpuTimes(0, 0, 0), CpuTimes(SECOND - 1, SECOND // 2, 0)) is None
    assert others_share(None, CpuTimes(SECOND, 0, 0)) is None
