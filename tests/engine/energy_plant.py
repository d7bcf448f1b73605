"""A machine in virtual time: it draws idle watts and watts for every busy CPU, and a source measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Literal

from engine.energy.sources.cpu_time import CpuTimes
from engine.energy.sources.source import EnergyReading
from protocol.plan import EnergySourceName as Name

SECOND = 1_000_000_000


@dataclass
class Plant:
    """Is its own source of joules, and its own loads. Time passes in ``wait`` and in loads alone."""

    cpus: int = 4
    idle_watts: float = 12.0
    busy_watts: float = 8.0
    memory_watts: float = 8.0
    """Power of a CPU that reads memory, if different."""
    others: float = 0.0
    """CPUs that others keep busy all the while."""
    name: Name = "rapl"
    kind: Literal["measured", "modelled"] = "measured"
    domains: tuple[str, ...] = ("package-0",)
    max_interval_s: float | None = 60.0
    update_ms: float = 1.0
    rel_error: float = 0.0
    notes: tuple[str, ...] = ()
    slow: bool = False
    fails_at_s: float | None = None
    on_pause: Callable[[], None] = lambda: None
    now_s: float = 100.0
    reads: int = 0
    loads: list[tuple[int, str | None]] = field(default_factory=list)
    _joules: float = 0.0
    _busy_s: float = 0.0
    _own_s: float = 0.0

    def read(self) -> EnergyReading:
        self.reads += 1
        failed = self.fails_at_s is not None and self.now_s >= self.fails_at_s
        package_uj = None if failed else round(self._joules * 1e6)
        return EnergyReading(round(self.now_s * SECOND), package_uj, epoch=int(failed), error="gone" if failed else "")

    def cpu_times(self) -> CpuTimes:
        total_s = self.now_s * self.cpus
        return CpuTimes(*(round(s * SECOND) for s in (total_s, self._busy_s, self._own_s, self.now_s)))

    def busy_time(self) -> PlantBusy:
        return PlantBusy(self)

    def make_load(self, threads: int, instruction: str | None) -> PlantLoad:
        self.loads.append((threads, instruction))
        return PlantLoad(self, threads, self.memory_watts if instruction is None else self.busy_watts)

    def wait(self, cancelled: Event, seconds: float) -> bool:
        self.on_pause()
        if not cancelled.is_set():
            self.pass_time(seconds, 0, 0.0)
        return cancelled.is_set()

    def pass_time(self, seconds: float, own_cpus: int, own_watts: float) -> None:
        self.now_s += seconds
        self._joules += seconds * (self.idle_watts + own_cpus * own_watts + self.others * self.busy_watts)
        self._busy_s += seconds * (own_cpus + self.others)
        self._own_s += seconds * own_cpus

    @property
    def busy_s(self) -> float:
        return self._busy_s


@dataclass
class PlantBusy:
    plant: Plant

    def read(self) -> float:
        return self.plant.busy_s


@dataclass
class PlantLoad:
    plant: Plant
    threads: int
    watts: float
    cancelled: bool = False

    def run(self, seconds: float) -> None:
        self.plant.on_pause()
        if not self.cancelled:
            self.plant.pass_time(seconds, self.threads, self.watts)

    def cancel(self) -> None:
        self.cancelled = True
