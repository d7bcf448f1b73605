"""A powercap tree like the kernel's, in a folder, whose counters move when they are told to."""

from __future__ import annotations

from pathlib import Path

RANGE_UJ = 262_143_328_850
"""What most machines report."""


class PowercapTree:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._totals: dict[str, int] = {}
        self._ranges: dict[str, int] = {}

    def add(self, zone: str, name: str, start_uj: int = 1_000_000_000, range_uj: int = RANGE_UJ) -> None:
        directory = self.root / zone
        directory.mkdir()
        (directory / "name").write_text(name + "\n")
        (directory / "max_energy_range_uj").write_text(f"{range_uj}\n")
        self._totals[zone] = start_uj
        self._ranges[zone] = range_uj
        self.spend(zone, 0)

    def spend(self, zone: str, microjoules: int) -> None:
        self._totals[zone] += microjoules
        self.write(zone, f"{self._totals[zone] % self._ranges[zone]}\n")

    def spend_everywhere(self, microjoules: int) -> None:
        for zone in self._totals:
            self.spend(zone, microjoules)

    def write(self, zone: str, content: str) -> None:
        (self.root / zone / "energy_uj").write_text(content)

    def remove(self, zone: str) -> None:
        (self.root / zone / "energy_uj").unlink()


def make_server(root: Path) -> PowercapTree:
    """Two packages with memory, cores and MMIO twins, and the whole platform's counter."""
    tree = PowercapTree(root)
    for package in (0, 1):
        tree.add(f"intel-rapl:{package}", f"package-{package}", start_uj=(package + 1) * 10**9)
        tree.add(f"intel-rapl:{package}:0", "core")
        tree.add(f"intel-rapl:{package}:1", "dram")
        tree.add(f"intel-rapl-mmio:{package}", f"package-{package}", start_uj=(package + 1) * 10**9)
    tree.add("intel-rapl:2", "psys")
    return tree
