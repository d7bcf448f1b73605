"""The measured source: joules of the CPU packages, from RAPL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Literal

from engine.energy.powercap import PowercapError, Zone, find_zones
from engine.energy.source import EnergyReading, SourceName

_MAX_INTERVAL_S = 60.0
"""The smallest range in the field wraps after about 234 s at 280 W."""
_SELF_TEST_POLLS = 20
_SELF_TEST_PAUSE_S = 0.005
"""RAPL counters move about once a millisecond, whatever the machine does."""


class _Counter:
    """One zone, unwrapped."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.total_uj = 0
        self._last_uj: int | None = None

    def advance(self) -> None:
        """Raises OSError, ValueError."""
        now_uj = self.zone.read_uj()
        if self._last_uj is not None:
            self.total_uj += (now_uj - self._last_uj) % self.zone.max_energy_range_uj
        self._last_uj = now_uj

    def forget(self) -> None:
        self._last_uj = None


class RaplSource:
    """Sums the package zones; gives the memory zones apart. Thread-safe."""

    name: SourceName = "rapl"
    kind: Literal["measured", "modelled"] = "measured"
    max_interval_s: float | None = _MAX_INTERVAL_S
    update_ms = 1.0
    rel_error = 0.0

    def __init__(self, root: Path, pause: Callable[[float], None] = time.sleep) -> None:
        """Find the zones and see their counters move, which takes up to a tenth of a second.

        Raises:
            PowercapError: nothing to read, no permission, or a counter that stands still.
        """
        try:
            zones = find_zones(root)
        except (OSError, ValueError) as error:  # a zone that was there a moment ago
            raise PowercapError(f"{root} cannot be read: {error}") from error
        self._packages = [_Counter(zone) for zone in zones.packages]
        self._memories = [_Counter(zone) for zone in zones.memories]
        self._epoch = 0
        self._lock = Lock()
        self.domains = tuple(counter.zone.name for counter in (*self._packages, *self._memories))
        self._require_movement(pause)

    def read(self) -> EnergyReading:
        """Every zone's counter now. A zone that cannot be read leaves the whole reading unknown, never 0."""
        with self._lock:
            start_ns = time.monotonic_ns()
            counters = (*self._packages, *self._memories)
            try:
                for counter in counters:
                    counter.advance()
            except (OSError, ValueError) as error:
                self._epoch += 1
                for counter in counters:
                    counter.forget()
                return EnergyReading(
                    time.monotonic_ns(), None, epoch=self._epoch, error=f"RAPL could not be read: {error}"
                )
            middle_ns = (start_ns + time.monotonic_ns()) // 2
            dram_uj = sum(counter.total_uj for counter in self._memories) if self._memories else None
            package_uj = sum(counter.total_uj for counter in self._packages)
            zones_uj = tuple(counter.total_uj for counter in counters)
            return EnergyReading(middle_ns, package_uj, dram_uj, zones_uj, self._epoch)

    def _require_movement(self, pause: Callable[[float], None]) -> None:
        for _ in range(_SELF_TEST_POLLS):
            reading = self.read()
            if reading.error:
                raise PowercapError(reading.error)
            still = [counter for counter in self._packages if counter.total_uj == 0]
            if not still:
                return
            pause(_SELF_TEST_PAUSE_S)
        names = ", ".join(str(counter.zone.path) for counter in still)
        raise PowercapError(f"the counters of {names} do not move: this machine shows RAPL but does not measure")
