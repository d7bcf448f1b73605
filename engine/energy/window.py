"""From two readings to an execution's energy, with what it is worth. Pure."""

from __future__ import annotations

from collections import deque
from typing import Literal

from engine.energy.calibration import Baseline
from engine.energy.sources.cpu_time import is_contended, others_share
from engine.energy.sources.source import EnergyReading, EnergySource
from protocol.metrics import EnergyReport

SHORTEST_WINDOW_MS = 200.0
"""A counter moves about every millisecond, so a window's two ends are uncertain by 2 ms in all: 1 % of 200 ms."""
OTHER_WORK = "the engine did other work than executions at the same time, and how they shared the CPU is not known"
"""The reason for unknown joules where the share is not known."""
UPDATES_IN_A_WINDOW = 20
"""At least, of a source that moves less often: its ends are then uncertain by a tenth."""


def energy_report(
    source: EnergySource,
    start: EnergyReading | None,
    end: EnergyReading | None,
    share: float | None = 1.0,
    baseline: Baseline | None = None,
) -> EnergyReport:
    """What an execution between two readings of ``source`` used.

    ``share`` is the execution's part of the run loop's compute time in between, over 0 to 1, 1 where it ran alone;
    ``None`` where that is not known. ``baseline`` is the machine's idle power as the same source measured it: idle
    joules are told beside the others, not taken from them. Every joule that cannot be vouched for is ``None``, with the
    reason.
    """
    reason = _unknown(source, start, end, share)
    if reason or start is None or end is None or share is None or start.package_uj is None or end.package_uj is None:
        return unavailable(source.name, reason, start, end)
    window_ms = (end.time_ns - start.time_ns) / 1e6
    package_j = (end.package_uj - start.package_uj) / 1e6
    kind: Literal["measured", "attributed", "modelled"] = "measured" if share == 1.0 else "attributed"
    others = others_share(start.cpu, end.cpu)
    return EnergyReport(
        kind="modelled" if source.kind == "modelled" else kind,
        source=source.name,
        domains=source.domains,
        window_ms=window_ms,
        rel_uncertainty=source.rel_error + 2 * source.update_ms / window_ms,
        package_j=package_j,
        idle_j=None if baseline is None else baseline.idle_watts * window_ms / 1e3,
        attributed_j=package_j * share,
        share=share,
        others_cpu_share=others,
        contended=is_contended(others),
        calibration_age_s=None if baseline is None else baseline.age_s,
        calibration_stale=None if baseline is None else baseline.stale,
    )


def with_active_interval(
    report: EnergyReport, start: EnergyReading | None, end: EnergyReading | None, active_ns: tuple[int, int] | None
) -> EnergyReport:
    """The report, less certain by how far its readings lie from the ends of the execution's active interval.

    The counters are read when the run loop's events arrive, a moment after the first step began and the last token was
    ready; and an execution that is stopped while it rests had its last token long before.
    """
    if report.rel_uncertainty is None or not report.window_ms or start is None or end is None or active_ns is None:
        return report
    beside_ms = (abs(start.time_ns - active_ns[0]) + abs(end.time_ns - active_ns[1])) / 1e6
    return report.model_copy(update={"rel_uncertainty": report.rel_uncertainty + beside_ms / report.window_ms})


def unavailable(
    source: str, reason: str | None, start: EnergyReading | None, end: EnergyReading | None
) -> EnergyReport:
    """The report of an execution whose joules are not known. What others did with the CPU may be known all the same."""
    others = None if start is None or end is None else others_share(start.cpu, end.cpu)
    return EnergyReport(
        kind="unavailable", source=source, others_cpu_share=others, contended=is_contended(others), reason=reason
    )


def _unknown(
    source: EnergySource, start: EnergyReading | None, end: EnergyReading | None, share: float | None
) -> str | None:
    if start is None or end is None:
        return "the execution ended before it computed anything"
    if error := start.error or end.error:
        return error
    if start.epoch != end.epoch:
        return "a counter could not be read in between, so the sum has a hole"
    window_ms = (end.time_ns - start.time_ns) / 1e6
    shortest_ms = max(SHORTEST_WINDOW_MS, UPDATES_IN_A_WINDOW * source.update_ms)
    if window_ms < shortest_ms:
        return (
            f"the window of {window_ms:.0f} ms is too short: {source.name} moves every {source.update_ms:g} ms and "
            f"tells joules from {shortest_ms:.0f} ms"
        )
    if share is None:
        return OTHER_WORK
    return None


class PowerAverage:
    """Live watts of the packages: the average over at least the last ``window_ns`` of readings."""

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._readings: deque[EnergyReading] = deque()

    def add(self, reading: EnergyReading) -> None:
        """Take the newest reading. A failed one empties the average: there is no averaging over a hole."""
        if reading.package_uj is None or (self._readings and self._readings[-1].epoch != reading.epoch):
            self._readings.clear()
        if reading.package_uj is not None:
            self._readings.append(reading)
        while len(self._readings) > 2 and reading.time_ns - self._readings[1].time_ns >= self._window_ns:
            self._readings.popleft()

    @property
    def watts(self) -> float | None:
        """``None`` until the readings span the window."""
        if len(self._readings) < 2:
            return None
        first, last = self._readings[0], self._readings[-1]
        elapsed_ns = last.time_ns - first.time_ns
        if elapsed_ns < self._window_ns or first.package_uj is None or last.package_uj is None:
            return None
        return (last.package_uj - first.package_uj) * 1e3 / elapsed_ns
