"""Joules of the CPU packages from RAPL, through the kernel's powercap tree."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engine.energy.sources.counted_source import CountedSource
from engine.energy.sources.counter import PACKAGE_WATTS, PLATFORM_WATTS, Counter
from engine.energy.sources.powercap import Zone, find_zones
from engine.energy.sources.self_test import require_movement, still, watch

_UPDATE_MS = 1.0


class RaplSource(CountedSource):
    """Sums the package zones; gives the memory zones apart. With ``psys`` the platform's zone alone."""

    def __init__(
        self,
        root: Path,
        pause: Callable[[float], None] = time.sleep,
        *,
        psys: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Find the zones and see their counters move, which takes up to a tenth of a second.

        Raises:
            SourceError: nothing to read, no permission, or a counter that stands still.
        """
        zones = find_zones(root, psys=psys)
        watts = PLATFORM_WATTS if psys else PACKAGE_WATTS
        counted = [_counter(zone, watts) for zone in zones.counted]
        memories = [_counter(zone, watts) for zone in zones.memories]
        seen = watch((*counted, *memories), _UPDATE_MS, clock, pause)
        require_movement(seen[: len(counted)], str(root))
        unmoved = still(seen[len(counted) :])
        notes = (*zones.notes, *(f"{memory.domain} is left out: its counter stands still" for memory in unmoved))
        super().__init__(
            "rapl",
            counted,
            [memory for memory in memories if memory not in unmoved],
            update_ms=_UPDATE_MS,
            notes=notes,
            memory_is_whole=not notes,
            clock=clock,
        )


def _counter(zone: Zone, watts: float) -> Counter:
    return Counter(
        zone.name,
        zone.read_uj,
        update_ms=_UPDATE_MS,
        wraps_at=zone.max_energy_range_uj,
        highest_watts=watts,
        identify=zone.identify,
    )
