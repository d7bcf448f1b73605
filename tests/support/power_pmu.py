"""A power PMU like the kernel's: its folder in sysfs, and events that count when they are told to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.virtual_clock import VirtualClock

KIND = 9
SCALE = "2.3283064365386962890625e-10"
"""2⁻³² J: what every power PMU counts in."""
CONFIGS = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}


class FakeEvent:
    def __init__(self, pmu: PowerPmu, place: tuple[str, int]) -> None:
        self._pmu = pmu
        self._place = place
        self._began = pmu.counts[place]

    def read(self) -> int:
        if self._place in self._pmu.broken:
            raise self._pmu.broken[self._place]
        return (self._pmu.counts[self._place] - self._began) % 2**64


class PowerPmu:
    """A power PMU in files: each CPU in the mask stands for a package, unless ``dies`` names its package and die."""

    def __init__(self, folder: Path, dies: Mapping[int, tuple[int, int]] | None = None) -> None:
        self.clock = VirtualClock()
        self.root, self.cpus = folder / "power", folder / "cpu"
        self.counts: dict[tuple[str, int], int] = {}
        """Counts by event and CPU, in units of 2⁻³² J."""
        self.watts: dict[tuple[str, int], float] = {}
        self.broken: dict[tuple[str, int], OSError] = {}
        self.refusal: OSError | None = None
        self.opened: list[tuple[int, int, int]] = []
        self._dies = dict(dies or {0: (0, 0)})
        (self.root / "events").mkdir(parents=True)
        self.write("type", str(KIND))
        self.write("cpumask", ",".join(map(str, self._dies)))
        for cpu, (package, die) in self._dies.items():
            topology = self.cpus / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            (topology / "physical_package_id").write_text(f"{package}\n")
            (topology / "die_id").write_text(f"{die}\n")

    def write(self, file: str, content: str) -> None:
        (self.root / file).write_text(content + "\n")

    def add(self, event: str, *watts: float) -> None:
        """``watts``: what each CPU's package draws by it."""
        self.write(f"events/{event}", f"event=0x{CONFIGS[event]:02x}")
        self.write(f"events/{event}.scale", SCALE)
        self.write(f"events/{event}.unit", "Joules")
        for cpu, drawn in zip(self._dies, watts, strict=True):
            self.watts[event, cpu] = drawn
            self.counts[event, cpu] = 10**9 * (cpu + 1)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for place, watts in self.watts.items():
            self.counts[place] += round(watts * seconds * 2**32)

    def open(self, kind: int, config: int, cpu: int) -> FakeEvent:
        if self.refusal is not None:
            raise self.refusal
        self.opened.append((kind, config, cpu))
        (event,) = [name for name, number in CONFIGS.items() if number == config]
        return FakeEvent(self, (event, cpu))
