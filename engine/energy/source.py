"""The one interface of everything that yields joules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """Counters at one moment. Only differences of two readings of one source mean anything."""

    time_ns: int
    """``time.monotonic_ns``, in the middle of the read."""
    package_uj: int | None
    """Microjoules since the source was opened, all CPU packages together; ``None`` where unknown."""
    dram_uj: int | None = None
    """The same of the memory, apart: it is no part of ``package_uj``."""
    epoch: int = 0
    """Rises with every failed read: two readings of different epochs have a hole between them."""
    error: str = ""
    """Why the counters are unknown."""


class EnergySource(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def reason(self) -> str:
        """Why this source measures nothing, and what would change that; empty where it measures."""

    @property
    def domains(self) -> tuple[str, ...]:
        """What ``package_uj`` sums, then what is read apart."""

    @property
    def max_interval_s(self) -> float | None:
        """Read at least this often while something runs, or a counter may wrap twice unseen; ``None``: no need."""

    def read(self) -> EnergyReading:
        """Read the counters now: a few file reads. A failure comes back as ``error``, never as an exception."""
