"""An operation's joules: its own where it ran alone, and known where no counter wrapped unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest

from engine.backend import BackendStatistics, WorkDone
from engine.energy.ladder import EnergyLadder
from engine.energy.sources.source import EnergyReading
from engine.operations.energy.operation_window import OperationWindow
from protocol.plan import EnergySourceName as SourceName
from protocol.summaries import PrefixCacheReport, ResidentModel

IDLE = BackendStatistics(
    sequences=0,
    kv_cache_bytes=0,
    prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
    work=WorkDone(steps=4, prefill_rows=10, decode_rows=3, busy_ns=1000),
    models=(),
)
WORKED = replace(IDLE, work=WorkDone(steps=5, prefill_rows=10, decode_rows=4, busy_ns=1200))
LOADED = replace(
    IDLE,
    models=(ResidentModel(model="m", quantization="native", backend="reference", weights_bytes=1, in_use=False),),
)


class Counter:
    """Gives the readings that a test says, one after the other."""

    name: SourceName = "rapl"
    kind: Literal["measured", "modelled"] = "measured"
    domains = ("package-0",)
    max_interval_s: float | None = 60.0
    update_ms = 1.0
    rel_error = 0.0
    notes = ()
    slow = False

    def __init__(self, *readings: EnergyReading) -> None:
        self._readings: Iterator[EnergyReading] = iter(readings)

    def read(self) -> EnergyReading:
        return next(self._readings)


def window_of(
    seconds: float, before: BackendStatistics = IDLE, after: BackendStatistics = IDLE, error: str = ""
) -> OperationWindow:
    start = EnergyReading(0, 5_000_000)
    end = EnergyReading(int(seconds * 1e9), None if error else 17_000_000, error=error, epoch=bool(error))
    statistics = iter((before, after))
    return OperationWindow(EnergyLadder([Counter(start, end)], {}), "rapl", lambda: next(statistics))


def test_alone_it_used_all_the_joules() -> None:
    report = window_of(2.0).report()
    assert (report.kind, report.package_j, report.attributed_j, report.share) == ("measured", 12.0, 12.0, 1.0)
    assert report.window_ms == 2000.0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (IDLE, WORKED),
        (IDLE, LOADED),
        (IDLE, replace(IDLE, sequences=1)),
        (replace(IDLE, sequences=1), IDLE),
        (replace(IDLE, sequences=1), replace(IDLE, sequences=1)),
    ],
)
def test_beside_executions_its_part_is_unknown(before: BackendStatistics, after: BackendStatistics) -> None:
    report = window_of(2.0, before, after).report()
    assert (report.kind, report.package_j, report.attributed_j) == ("unavailable", None, None)
    assert "executions ran at the same time" in (report.reason or "")


def test_a_counter_that_may_have_wrapped_tells_nothing() -> None:
    assert window_of(59.0).report().package_j == 12.0
    report = window_of(61.0).report()
    assert report.package_j is None
    assert report.reason == "it took 61 s, and counters of rapl may wrap unseen after 60 s"


@pytest.mark.parametrize(("seconds", "error", "reason"), [(0.01, "", "too short"), (2.0, "gone", "gone")])
def test_what_the_source_cannot_tell_has_its_reason(seconds: float, error: str, reason: str) -> None:
    report = window_of(seconds, IDLE, WORKED, error).report()
    assert report.kind == "unavailable"
    assert reason in (report.reason or "")


def test_without_a_source_the_reason_is_why() -> None:
    report = OperationWindow(EnergyLadder([], {"rapl": "not here"}), "none", lambda: IDLE).report()
    assert (report.kind, report.source) == ("unavailable", "none")
    assert "(tried rapl)" in (report.reason or "")
