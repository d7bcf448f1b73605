"""When an execution may compute and when it must rest, so that a moving average of watts stays at its limit. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from engine.energy.sources.source import EnergyReading

Microjoules = float
_WINDOWS_KEPT = 2
"""What computing cost in the window before tells what it will cost when all of it has left this one."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The time between two readings, decided at its start."""

    start_ns: int
    end_ns: int
    used_uj: int
    """Microjoules used by all CPU packages."""
    ran: bool
    """The execution was allowed to compute. In one that is not it may still end a step begun before."""

    @property
    def milliwatts(self) -> float:
        """The mean power of the slot."""
        return self.used_uj * 1e6 / (self.end_ns - self.start_ns)


def may_run(slots: Collection[Slot], max_watts: float, window_ns: int, next_ns: int) -> bool:
    """Whether an execution may compute for the next ``next_ns``, so that no window's average exceeds ``max_watts``.

    ``slots`` are those of the last two windows, or all since the start, without gaps. What computing costs is what it
    cost in them: the most that a slot took, and what steps still took after a rest was decided. Where it computed in
    none of them it may try for one slot, unless the machine exceeds the limit without it.
    """
    if not slots:
        return True
    first_ns, end_ns = next(iter(slots)).start_ns, max(slot.end_ns for slot in slots)
    # The window that ends with the next slot; until the first is full, all since the start.
    begin_ns = max(end_ns + next_ns - window_ns, first_ns)
    used_uj = sum(_used_since(slot, begin_ns) for slot in slots)
    if not any(slot.ran for slot in slots):
        return used_uj <= _budget_uj(max_watts, end_ns - begin_ns)
    next_uj = max(slot.milliwatts for slot in slots if slot.ran) * next_ns / 1e6
    return used_uj + next_uj + _coasting_uj(slots) <= _budget_uj(max_watts, end_ns + next_ns - begin_ns)


class Throttle:
    """Decides at each reading whether an execution may compute until the next."""

    def __init__(self, max_watts: float, window_ns: int, sample_ns: int, start: EnergyReading) -> None:
        """``start``: the reading when it began to compute; as all others, one that did not fail."""
        self._max_watts = max_watts
        self._window_ns = window_ns
        self._sample_ns = sample_ns
        self._last = start
        self._slots: deque[Slot] = deque()
        self._runs = True

    def decide(self, reading: EnergyReading) -> bool:
        """Whether it may compute. A reading sooner than half a sampling period after the last changes nothing: power
        over a moment in which the counters hardly moved would be noise.
        """
        used_uj = (reading.package_uj or 0) - (self._last.package_uj or 0)
        if reading.time_ns - self._last.time_ns >= self._sample_ns // 2:
            self._slots.append(Slot(self._last.time_ns, reading.time_ns, used_uj, self._runs))
            self._last = reading
            self._forget()
            self._runs = may_run(self._slots, self._max_watts, self._window_ns, self._sample_ns)
        return self._runs

    def _forget(self) -> None:
        begin_ns = self._last.time_ns - _WINDOWS_KEPT * self._window_ns
        while self._slots[0].end_ns <= begin_ns:
            self._slots.popleft()


def _budget_uj(watts: float, duration_ns: int) -> Microjoules:
    return watts * duration_ns / 1e3


def _used_since(slot: Slot, begin_ns: int) -> Microjoules:
    part = (slot.end_ns - max(slot.start_ns, begin_ns)) / (slot.end_ns - slot.start_ns)
    return slot.used_uj * max(0.0, part)


def _coasting_uj(slots: Collection[Slot]) -> Microjoules:
    """The most that a rest took beyond what the quietest slot shows that the machine takes without the execution."""
    floor = min((slot.milliwatts for slot in slots if not slot.ran), default=0.0)
    most = coasted = 0.0
    for before, slot in pairwise(slots):
        if slot.ran:
            coasted = 0.0
        elif before.ran or coasted > 0:
            coasted += slot.used_uj - floor * (slot.end_ns - slot.start_ns) / 1e6
            most = max(most, coasted)
    return most
