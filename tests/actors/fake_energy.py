"""Sources of energy to choose from, with readings that a test sets."""

from __future__ import annotations

from dataclasses import dataclass

from engine.energy.sources.source import EnergyReading
from engine.energy.window import OTHER_WORK
from protocol.live_energy import PowerReport
from protocol.metrics import EnergyReport
from protocol.plan import (
    EnergySourceName,
)


@dataclass
class FakeEnergy:
    """Measures nothing, or, given joules for each read, one package, a second from read to read."""

    name: EnergySourceName = "none"
    declaration: str = ""
    reason: str = "no meter"
    interval_s: float | None = None
    joules_a_read: int = 0
    reads: int = 0
    window_s: float = 0.0
    """What live watts are said to need."""

    def max_interval_s(self, source: str) -> float | None:
        return self.interval_s

    def min_interval_s(self, source: str) -> float:
        return 0.0

    def is_slow(self, source: str) -> bool:
        return False

    def read(self, source: str) -> EnergyReading:
        self.reads += 1
        if self.reason:
            return EnergyReading(time_ns=self.reads * 10**9, package_uj=None, error=self.reason)
        return EnergyReading(time_ns=self.reads * 10**9, package_uj=self.reads * self.joules_a_read * 1_000_000)

    def read_counters(self, source: str) -> EnergyReading:
        return self.read(source)

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None
    ) -> EnergyReport:
        if start is None or end is None or start.package_uj is None or end.package_uj is None:
            return EnergyReport(kind="unavailable", source=planned, reason=self.reason or "nothing ran")
        joules = (end.package_uj - start.package_uj) / 1e6
        if share is None:
            return EnergyReport(kind="unavailable", source=planned, reason=OTHER_WORK)
        return EnergyReport(kind="attributed", source=planned, attributed_j=joules * share, package_j=joules)

    def live_window_s(self, source: str) -> float:
        return self.window_s

    def power(self, source: str, start: EnergyReading, end: EnergyReading) -> PowerReport:
        if start.package_uj is None or end.package_uj is None:
            return PowerReport(kind="unavailable", source=source, reason=self.reason or end.error or "no reading")
        elapsed_ns = end.time_ns - start.time_ns
        watts = (end.package_uj - start.package_uj) * 1e3 / elapsed_ns
        zones = {"package-0": watts}
        return PowerReport(kind="measured", source=source, window_ms=elapsed_ns / 1e6, watts=watts, zones=zones)


def make_meter() -> FakeEnergy:
    return FakeEnergy(name="rapl", reason="", interval_s=60.0, joules_a_read=5)
