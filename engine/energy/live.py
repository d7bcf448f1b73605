"""The present power, and how it is divided among executions. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from engine.backend import ComputeTimes
from engine.energy.sources.source import EnergyReading, EnergySource
from engine.energy.window import UPDATES_IN_A_WINDOW
from protocol.live_energy import PowerReport

SHORTEST_S = 1.0
"""What live watts are averaged over at least. Counters that are read faster tell what other processes compute."""


@dataclass(frozen=True, slots=True)
class LiveSample:
    """The energy counters, and how the computing divides, at one moment."""

    reading: EnergyReading
    times: ComputeTimes[str]
    """Computing times by execution."""


def live_window_s(source: EnergySource) -> float:
    """The least time that this source's watts are averaged over."""
    return max(SHORTEST_S, UPDATES_IN_A_WINDOW * source.update_ms / 1e3)


def live_power(source: EnergySource, start: EnergyReading, end: EnergyReading) -> PowerReport:
    """What the machine drew between two readings of ``source``, taken :func:`live_window_s` apart or more."""
    reason = start.error or end.error
    if not reason and start.epoch != end.epoch:
        reason = "a counter could not be read in between"
    if reason or start.package_uj is None or end.package_uj is None:
        return PowerReport(kind="unavailable", source=source.name, reason=reason)
    elapsed_ns = end.time_ns - start.time_ns
    zones: dict[str, float] = {}
    for zone, before_uj, after_uj in zip(source.domains, start.zones_uj, end.zones_uj, strict=False):
        zones[zone] = zones.get(zone, 0.0) + _watts(before_uj, after_uj, elapsed_ns)
    return PowerReport(
        kind=source.kind,
        source=source.name,
        window_ms=elapsed_ns / 1e6,
        watts=_watts(start.package_uj, end.package_uj, elapsed_ns),
        zones=zones,
        rel_uncertainty=source.rel_error + 2 * source.update_ms * 1e6 / elapsed_ns,
    )


def share_between(start: LiveSample, end: LiveSample, execution_id: str) -> float | None:
    """What part an execution had of the steps that ended in between; ``None`` where none did."""
    busy_ns = end.times.busy_ns - start.times.busy_ns
    after = end.times.of.get(execution_id)
    if busy_ns <= 0 or after is None:
        return None
    before = start.times.of.get(execution_id)
    return (after.compute_ns - (0 if before is None else before.compute_ns)) / busy_ns


def _watts(before_uj: int, after_uj: int, elapsed_ns: int) -> float:
    return (after_uj - before_uj) * 1e3 / elapsed_ns
