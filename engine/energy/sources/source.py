"""The one interface of everything that yields joules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from engine.energy.sources.cpu_time import CpuTimes
from protocol.plan import EnergySourceName as SourceName


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """Counters at one moment. Only differences of two readings of one source mean anything."""

    time_ns: int
    """``time.monotonic_ns``, in the middle of the read."""
    package_uj: int | None
    """Microjoules since the source was opened, all CPU packages together; ``None`` where unknown."""
    dram_uj: int | None = None
    """The same of the memory, apart: it is no part of ``package_uj``."""
    zones_uj: tuple[int, ...] = ()
    """The same of each of the source's ``domains``; empty where unknown."""
    epoch: int = 0
    """Rises with every failed read: two readings of different epochs have a hole between them."""
    error: str = ""
    """Why the counters are unknown."""
    cpu: CpuTimes | None = None
    """What kept the machine's CPUs busy, read beside the counters; ``None`` where unknown."""


class SourceError(Exception):
    """A source does not work on this machine."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        """``remedy``: exactly what to do; empty where nothing can be done."""
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class EnergySource(Protocol):
    """One way to joules that was seen to work on this machine."""

    @property
    def name(self) -> SourceName:
        """The name that plans give."""

    @property
    def kind(self) -> Literal["measured", "modelled"]:
        """Whether a counter said so, or a formula."""

    @property
    def domains(self) -> tuple[str, ...]:
        """What it reads: first what ``package_uj`` sums, then what is read apart."""

    @property
    def max_interval_s(self) -> float | None:
        """Read at least this often while something runs, or a counter may wrap twice unseen; ``None``: no need."""

    @property
    def update_ms(self) -> float:
        """The longest time between two moves of its counters."""

    @property
    def rel_error(self) -> float:
        """How wrong its joules may be over any window, as a part of them; 0 where only the ends are uncertain."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What it leaves out, and why; sentences for a person."""

    @property
    def slow(self) -> bool:
        """Whether a read may take long: then it belongs into a worker thread."""

    def read(self) -> EnergyReading:
        """Read the counters now: a few file reads, unless it is slow. A failure comes back as ``error``, never as an
        exception.
        """
