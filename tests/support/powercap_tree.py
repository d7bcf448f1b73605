"""A powercap tree like the kernel's, in a folder, whose counters move when they are told to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.virtual_clock import VirtualClock

RANGE_UJ = 262_143_328_850
"""What most machines report."""
SMALL_RANGE_UJ = 65_532_610_987
"""What some servers report: 234 s at 280 W."""


class PowercapTree:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.clock = VirtualClock()
        self._folders: dict[str, Path] = {}
        self._totals: dict[str, int] = {}
        self._ranges: dict[str, int] = {}
        self._watts: dict[str, float] = {}

    def add(
        self,
        zone: str,
        name: str,
        start_uj: int = 1_000_000_000,
        range_uj: int = RANGE_UJ,
        watts: float = 0.0,
        folder: str | None = None,
    ) -> None:
        """``watts``: what it draws while time passes. ``folder``: its place in the tree, where it lies deeper."""
        self._folders[zone] = self.root / (folder or zone)
        self._folders[zone].mkdir(parents=True)
        (self._folders[zone] / "name").write_text(name + "\n")
        (self._folders[zone] / "max_energy_range_uj").write_text(f"{range_uj}\n")
        self._totals[zone] = start_uj
        self._ranges[zone] = range_uj
        self._watts[zone] = watts
        self.spend(zone, 0)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock, and every zone that is present and draws power."""
        self.clock.advance(seconds)
        for zone, watts in self._watts.items():
            if watts:
                self._totals[zone] += round(watts * seconds * 1e6)
                if self._folders[zone].is_dir() and (self._folders[zone] / "energy_uj").is_file():
                    self.spend(zone, 0)

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(self._totals)

    def count(self, zone: str) -> int:
        """What the zone's counter shows."""
        return self._totals[zone] % self._ranges[zone]

    def range_of(self, zone: str) -> int:
        return self._ranges[zone]

    def draw(self, zone: str, watts: float) -> None:
        self._watts[zone] = watts

    def spend(self, zone: str, microjoules: int) -> None:
        self._totals[zone] += microjoules
        self.write(zone, f"{self._totals[zone] % self._ranges[zone]}\n")

    def spend_everywhere(self, microjoules: int) -> None:
        for zone in self._totals:
            self.spend(zone, microjoules)

    def write(self, zone: str, content: str, file: str = "energy_uj") -> None:
        (self._folders[zone] / file).write_text(content)

    def remove(self, zone: str, file: str = "energy_uj") -> None:
        (self._folders[zone] / file).unlink()

    def unplug(self, zone: str) -> None:
        shutil.rmtree(self._folders[zone])

    def plug(self, zone: str, name: str) -> None:
        """Plug a package in again: it counts from 0, under this name."""
        range_uj, watts = self._ranges[zone], self._watts[zone]
        self.add(zone, name, start_uj=0, range_uj=range_uj, watts=watts, folder=str(self._folders[zone]))


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


def forbid(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Make a file unreadable by patching, since the superuser, whom tests may run as, can read everything."""
    open_file, read_text = os.open, Path.read_text

    def refuse(path: Path) -> None:
        if path == file:
            raise PermissionError(13, "Permission denied", str(path))

    def guarded_open(path: Path, flags: int) -> int:
        refuse(path)
        return open_file(path, flags)

    def guarded_read(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        refuse(path)
        return read_text(path, encoding, errors)

    monkeypatch.setattr(os, "open", guarded_open)
    monkeypatch.setattr(Path, "read_text", guarded_read)
