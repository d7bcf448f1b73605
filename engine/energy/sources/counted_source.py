"""What every source of counted joules is: counters read together, of which one that fails spoils the reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Literal

from engine.energy.sources.counter import Counter
from engine.energy.sources.source import EnergyReading
from protocol.plan import EnergySourceName as SourceName

_LONGEST_INTERVAL_S = 60.0


class CountedSource:
    """Sums what is counted; gives the memory's counters apart. Thread-safe.

    A counter that cannot be read, or that cannot be true, leaves the whole reading unknown, never 0, and a hole between
    the readings before and after it: the rest's sum would be another quantity. The next reading tries again.
    """

    kind: Literal["measured", "modelled"] = "measured"
    rel_error = 0.0

    def __init__(
        self,
        name: SourceName,
        counted: Sequence[Counter],
        memories: Sequence[Counter] = (),
        *,
        update_ms: float,
        notes: Sequence[str] = (),
        memory_is_whole: bool = True,
        slow: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``memory_is_whole``: the memories' sum is that of all memory, as far as this machine counts any."""
        self.name = name
        self._update_ms = update_ms
        self.notes = tuple(notes)
        self.slow = slow
        self.domains = tuple(counter.domain for counter in (*counted, *memories))
        self._counted = tuple(counted)
        self._memories = tuple(memories)
        self._memory_is_whole = memory_is_whole
        self._clock = clock
        self._epoch = 0
        self._lock = Lock()

    @property
    def update_ms(self) -> float:
        """The longest time between two moves of its counters."""
        return self._update_ms

    @property
    def max_interval_s(self) -> float | None:
        """A quarter of the shortest time in which a counter can come round; ``None`` where none does."""
        wraps = [counter.wraps_after_s for counter in (*self._counted, *self._memories)]
        shortest_s = min((wrap for wrap in wraps if wrap is not None), default=None)
        return None if shortest_s is None else min(_LONGEST_INTERVAL_S, shortest_s / 4)

    def read(self) -> EnergyReading:
        """Every counter now; see :class:`EnergySource`."""
        with self._lock:
            started_ns = self._clock()
            counters = (*self._counted, *self._memories)
            try:
                for counter in counters:
                    counter.advance(started_ns)
            except (OSError, ValueError) as error:
                return self._failed(error)
            middle_ns = (started_ns + self._clock()) // 2
            zones_uj = tuple(counter.total_uj for counter in counters)
            package_uj = sum(zones_uj[: len(self._counted)])
            dram_uj = sum(zones_uj[len(self._counted) :]) if self._memories and self._memory_is_whole else None
            return EnergyReading(middle_ns, package_uj, dram_uj, zones_uj, self._epoch)

    def _failed(self, error: Exception) -> EnergyReading:
        self._epoch += 1
        for counter in (*self._counted, *self._memories):
            counter.forget()
        reason = f"{self.name} could not be read: {error}"
        return EnergyReading(self._clock(), None, epoch=self._epoch, error=reason)
