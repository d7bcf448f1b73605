"""How fast CPUs were clocked between two moments, from counters that the kernel keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CPUFREQ = Path("/sys/devices/system/cpu/cpufreq")


@dataclass(slots=True)
class _ClockDomain:
    """CPUs that change their frequency together."""

    cpus: tuple[int, ...]
    times: Path
    """A line for each frequency: its kHz, and for how many ticks it was set, busy or idle."""
    highest_khz: int
    ticks: dict[int, int] = field(default_factory=dict)
    """When last read, by kHz."""

    def mean(self) -> float:
        """Since the last call, as a part of the highest; 1 where no tick passed. Raises OSError, ValueError."""
        before, self.ticks = self.ticks, _ticks(self.times)
        passed = {khz: ticks - before.get(khz, 0) for khz, ticks in self.ticks.items()}
        total = sum(passed.values())
        return sum(khz * ticks for khz, ticks in passed.items()) / (total * self.highest_khz) if total > 0 else 1.0


class Frequencies:
    """Mean frequencies of all CPUs; of none where the kernel does not count the time at each frequency.

    A frequency read now says nothing of the time since the last read, so that no other file will do.
    """

    def __init__(self, root: Path = CPUFREQ) -> None:
        try:
            self._domains = tuple(_domains(root))
        except (OSError, ValueError):
            self._domains = ()

    def covers(self, cpus: int) -> bool:
        """Whether the frequencies of this many CPUs are known."""
        return sum(len(domain.cpus) for domain in self._domains) >= cpus

    def means(self) -> dict[int, float]:
        """Each CPU's mean frequency since the last call, as a part of its highest. Raises OSError, ValueError."""
        return {cpu: mean for domain in self._domains for mean in (domain.mean(),) for cpu in domain.cpus}


def _domains(root: Path) -> Iterator[_ClockDomain]:
    for policy in sorted(root.glob("policy*")):
        times = policy / "stats" / "time_in_state"
        ticks = _ticks(times)
        cpus = tuple(int(cpu) for cpu in (policy / "affected_cpus").read_text(encoding="ascii").split())
        yield _ClockDomain(cpus, times, max(ticks), ticks)


def _ticks(path: Path) -> dict[int, int]:
    """Raises OSError, ValueError."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    ticks = {int(khz): int(count) for khz, count in lines}
    if not ticks or min(ticks) <= 0:
        raise ValueError(f"{path} names no frequencies")
    return ticks
