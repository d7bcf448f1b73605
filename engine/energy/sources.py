"""Which sources this machine has. Probed once, at start-up; a source that fails says why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from engine.energy.powercap import PowercapUnavailable
from engine.energy.rapl import RaplSource
from engine.energy.source import EnergyReading, EnergySource

_ASKED_FOR = "the plan names the energy source none"


class NoSource:
    """Measures nothing, and says why."""

    name = "none"
    domains: tuple[str, ...] = ()
    max_interval_s: float | None = None

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def read(self) -> EnergyReading:
        return EnergyReading(time.monotonic_ns(), None, error=self.reason)


class EnergySources:
    """Every source by name, the ones that work and the ones that do not."""

    def __init__(self, working: Mapping[str, EnergySource], reasons: Mapping[str, str]) -> None:
        self._working = dict(working)
        self._reasons = dict(reasons)
        # Why nothing is measured: because nothing can be, or because a plan asked for that.
        self._none = NoSource("; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or _ASKED_FOR)

    def availability(self) -> dict[str, str]:
        """Source to ``""`` where it works, else the reason; ``none`` always works."""
        return {**dict.fromkeys(self._working, ""), **self._reasons, "none": ""}

    def get(self, name: str) -> EnergySource:
        """The source a plan names; ``none`` for one that does not work."""
        return self._working.get(name, self._none)


def open_sources(powercap_root: Path) -> EnergySources:
    """Probe every source this engine has. Blocking, up to a tenth of a second."""
    try:
        return EnergySources({"rapl": RaplSource(powercap_root)}, {})
    except PowercapUnavailable as error:
        return EnergySources({}, {"rapl": str(error)})
