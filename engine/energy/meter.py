"""The one source this engine was started with, and why the others are not it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from engine.energy.powercap import PowercapError
from engine.energy.rapl import RaplSource
from engine.energy.source import EnergyReading, EnergySource
from engine.energy.window import energy_report
from protocol.metrics import EnergyReport


class NoSource:
    """Measures nothing, and says why."""

    name = "none"
    domains: tuple[str, ...] = ()
    max_interval_s: float | None = None

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def read(self) -> EnergyReading:
        return EnergyReading(time.monotonic_ns(), None, error=self.reason)


class EnergyMeter:
    """Reads its source, and turns pairs of readings into reports. Thread-safe as its source is."""

    def __init__(self, source: EnergySource, failed: Mapping[str, str]) -> None:
        """``failed``: the sources that do not work here, and why."""
        self._source = source
        self._failed = dict(failed)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def reason(self) -> str:
        """Why nothing is measured; empty where something is."""
        return self._source.reason

    @property
    def max_interval_s(self) -> float | None:
        return self._source.max_interval_s

    def availability(self) -> dict[str, str]:
        """Every source: ``""`` where it works, else the reason why not. ``none`` always works."""
        return {**self._failed, self._source.name: "", "none": ""}

    def read(self) -> EnergyReading:
        return self._source.read()

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None = 1.0
    ) -> EnergyReport:
        """An execution's energy, for a plan that names the source ``planned``. See :func:`energy_report`."""
        if planned != self.name:
            reason = f"the plan names the energy source {planned}"
            return EnergyReport(kind="unavailable", source=planned, reason=reason)
        return energy_report(self._source, start, end, share)


def open_meter(powercap_root: Path) -> EnergyMeter:
    """The first source that works, each tested by seeing it move. Blocking, up to a tenth of a second."""
    try:
        return EnergyMeter(RaplSource(powercap_root), {})
    except PowercapError as error:
        return EnergyMeter(NoSource(f"rapl: {error}"), {"rapl": str(error)})
