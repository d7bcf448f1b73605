"""What an execution took, from readings of the whole process."""

from __future__ import annotations

from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path

import pytest

from engine.energy.window import OTHER_WORK
from engine.host.process_usage import ProcessUsage, private_memory_bytes, read_process_usage
from engine.metrics.usage_window import READING_INTERVAL_NS, UsageWindow, cpu_report, memory_report
from protocol.metrics import CpuReport, MemoryReport

KNOWN = (5000, 1000, 300)
"""Bytes of weights, KV cache and buffers."""


def window_of(*private_bytes: int | None, alone: bool = True) -> UsageWindow:
    """A reading every 100 ms, with 80 ms of user and 10 of system time in between."""
    window = UsageWindow(alone=alone)
    for i, size in enumerate(private_bytes):
        window.add(ProcessUsage(i * 100_000_000, 7 + i * 80_000_000, 7 + i * 10_000_000, size))
    return window


def test_growth_is_from_the_first_reading_to_the_highest() -> None:
    report = memory_report(window_of(10_000, 14_000, 12_000), 1.0, *KNOWN)
    assert report == MemoryReport(
        weights_bytes=5000, kv_cache_bytes=1000, buffers_bytes=300, growth_bytes=4000, reason=None
    )
    assert report.peak_bytes == 9000


def test_growth_below_what_is_known_adds_nothing() -> None:
    assert memory_report(window_of(10_000, 10_500), 1.0, *KNOWN).peak_bytes == 6300


@pytest.mark.parametrize(
    ("window", "share"),
    [
        (window_of(10_000, 99_000, alone=False), 1.0),
        (window_of(10_000, 99_000), 0.5),
        (window_of(10_000, 99_000), None),
        (window_of(None, None), 1.0),
        (window_of(10_000, None, 99_000), 1.0),
    ],
)
def test_growth_that_may_be_anothers_is_unknown_and_the_rest_is_not(window: UsageWindow, share: float | None) -> None:
    report = memory_report(window, share, *KNOWN)
    assert (report.growth_bytes, report.peak_bytes) == (None, 6300)
    assert "growth_bytes" in (report.reason or "")


def test_without_the_size_of_its_cache_there_is_no_peak() -> None:
    report = memory_report(window_of(1, 2), 1.0, 5000, None, 300)
    assert report.peak_bytes is None
    assert "KV cache" in (report.reason or "")


def test_what_never_computed_took_neither_memory_nor_time() -> None:
    assert memory_report(UsageWindow(), None, None, None, None).peak_bytes is None
    for reason in (
        memory_report(UsageWindow(), None, None, None, None).reason,
        cpu_report(UsageWindow(), None, "", 2).reason,
    ):
        assert reason == "the execution ended before it computed anything"


def test_the_first_reading_is_due_at_once_and_each_later_one_after_the_interval() -> None:
    window = UsageWindow()
    assert window.is_due(0)
    window.add(ProcessUsage(5, 0, 0, None))
    assert not window.is_due(5 + READING_INTERVAL_NS - 1)
    assert window.is_due(5 + READING_INTERVAL_NS)


def test_cpu_time_is_told_with_its_window_and_share() -> None:
    report = cpu_report(window_of(1, 2, 3), 0.5, OTHER_WORK, 2)
    assert report == CpuReport(window_ms=200.0, process_user_ms=160.0, process_system_ms=20.0, cpus=2, share=0.5)
    assert report.machine_share == pytest.approx(90 / 400)


def test_an_unknown_share_leaves_the_process_and_a_reason() -> None:
    report = cpu_report(window_of(1, 2), None, OTHER_WORK, 2)
    assert (report.process_user_ms, report.part_of(80.0), report.machine_share) == (80.0, None, None)
    assert report.reason == OTHER_WORK


def test_private_memory_is_resident_memory_without_files(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("900 300 100 1 0 200 0\n", encoding="ascii")
    pages = private_memory_bytes(statm)
    assert pages is not None
    assert pages % 200 == 0
    for content in ("", "1 2", "a b c"):
        statm.write_text(content, encoding="ascii")
        assert private_memory_bytes(statm) is None
    assert private_memory_bytes(tmp_path / "absent") is None


def test_this_process_uses_time_and_memory() -> None:
    before = read_process_usage()
    # Pages of its own: what malloc gives may have been resident all along.
    kept = mmap(-1, 20_000_000, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    kept.write(b"x" * len(kept))
    after = read_process_usage()
    assert after.time_ns > before.time_ns
    assert after.user_ns + after.system_ns > before.user_ns + before.system_ns
    assert before.private_bytes is not None
    assert after.private_bytes is not None
    assert after.private_bytes - before.private_bytes > len(kept) // 2
