"""The energy sources that work on this machine, best first, and why the others do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine.energy.cpu_time import CpuTimes, read_cpu_times
from engine.energy.live import SHORTEST_S, live_power, live_window_s
from engine.energy.powercap import PowercapError
from engine.energy.rapl import RaplSource
from engine.energy.source import EnergyReading, EnergySource
from engine.energy.window import energy_report, unavailable
from protocol.live_energy import PowerReport
from protocol.metrics import EnergyReport
from protocol.plan import EnergySource as SourceName

if TYPE_CHECKING:
    from engine.config import EngineConfig

_NONE: Final = "none"


class EnergyLadder:
    """Reads any of its sources by name, and turns pairs of readings into reports. Thread-safe as its sources are."""

    def __init__(
        self,
        working: Sequence[EnergySource],
        failed: Mapping[str, str],
        cpu_times: Callable[[], CpuTimes | None] = read_cpu_times,
    ) -> None:
        """``working``: the best first. ``failed``: the sources that do not work here, and why."""
        self._working = {source.name: source for source in working}
        self._failed = dict(failed)
        self._cpu_times = cpu_times

    @property
    def name(self) -> SourceName:
        """Of the best source that measures, or ``none``."""
        return next((source.name for source in self._working.values() if source.kind == "measured"), _NONE)

    @property
    def reason(self) -> str:
        """Why nothing measures; empty where something does."""
        return "" if self.name != _NONE else "; ".join(f"{name}: {reason}" for name, reason in self._failed.items())

    def availability(self) -> dict[str, str]:
        """Every source: ``""`` where it works, else the reason why not. ``none`` always works."""
        return {**dict.fromkeys(self._working, ""), **self._failed, _NONE: ""}

    def max_interval_s(self, source: str) -> float | None:
        """Of a source by name, as :class:`EnergySource` has it; ``None`` also where it does not work here."""
        return self._working[source].max_interval_s if source in self._working else None

    def read(self, source: str) -> EnergyReading:
        """The source's counters and the CPUs' times now. One that does not work here gives a reading that says so."""
        return replace(self.read_counters(source), cpu=self._cpu_times())

    def read_counters(self, source: str) -> EnergyReading:
        """The counters alone: half the work, or on a machine of many CPUs less."""
        if source in self._working:
            return self._working[source].read()
        return EnergyReading(time.monotonic_ns(), None, error=self._why_not(source))

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None = 1.0
    ) -> EnergyReport:
        """An execution's energy, for a plan that names the source ``planned``. See :func:`energy_report`."""
        if planned not in self._working:
            return unavailable(planned, self._why_not(planned), start, end)
        return energy_report(self._working[planned], start, end, share)

    def live_window_s(self, source: str) -> float:
        """What watts of the moment are averaged over at least."""
        return live_window_s(self._working[source]) if source in self._working else SHORTEST_S

    def power(self, source: str, start: EnergyReading, end: EnergyReading) -> PowerReport:
        """What the machine drew between two readings. See :func:`live_power`."""
        if source not in self._working:
            return PowerReport(kind="unavailable", source=source, reason=self._why_not(source))
        return live_power(self._working[source], start, end)

    def _why_not(self, source: str) -> str:
        if source == _NONE:
            return self.reason or "the plan names the energy source none"
        return self._failed.get(source, "no such source was looked for")


def open_ladder(config: EngineConfig) -> EnergyLadder:
    """Every source that works, each tested by seeing it move. Blocking, up to a tenth of a second for each."""
    working: list[EnergySource] = []
    failed: dict[str, str] = {}
    try:
        working.append(RaplSource(config.powercap_root))
    except PowercapError as error:
        failed["rapl"] = str(error)
    return EnergyLadder(working, failed)
