"""RAPL counters in the kernel's powercap tree: which zones there are, and reading one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.energy.sources.permissions import RULE_REMEDY
from engine.energy.sources.source import SourceError

_CONTROL_TYPES = ("intel-rapl", "intel-rapl-mmio")
"""The second shows the same counters by another way: it serves only where the first is missing."""
_COUNT_BYTES = 64
"""More than any count has digits."""
_SAME_COUNTER_UJ = 1_000_000
"""Dies of one package this close to each other, after all their machine's uptime, are one counter shown twice."""
_UNSET_PSYS = "unset ENGINE_ENERGY_PSYS, to count the CPU packages"
_PSYS = re.compile(r"psys(-\d+)?")


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter. It runs up to ``max_energy_range_uj`` and starts again from 0."""

    name: str
    """The kernel's name; that of a zone within a package follows the package's: ``package-0/dram``."""
    path: Path
    max_energy_range_uj: int

    def read_uj(self) -> int:
        """Raises OSError, ValueError (the file does not hold a count within the range)."""
        return _count(self.path / "energy_uj", self.max_energy_range_uj)

    def identify(self) -> None:
        """Make sure that the folder still is this zone's: a package that comes back may have another's number.

        Raises:
            OSError, ValueError: it is not, or cannot be read.
        """
        name = _name(self.path)
        if name != self.name.rpartition("/")[2]:
            raise ValueError(f"{self.path} was {self.name} and is {name!r} now")


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones found, each counted once."""

    counted: tuple[Zone, ...]
    """The packages, or the platform."""
    memories: tuple[Zone, ...]
    notes: tuple[str, ...]
    """Why the memory of some packages is missing."""


def find_zones(root: Path, *, psys: bool = False) -> Zones:
    """The zones of the CPU packages and those of their memory, each physical counter once; with ``psys`` those of the
    platform, which contains both.

    Left out: twins under another control type, what a package's own counter already contains (core, uncore), what
    contains the packages (psys), and dies that mirror one another.

    Raises:
        SourceError: no tree, no package, no permission, or a zone that cannot be read.
    """
    try:
        if not root.is_dir():
            raise SourceError(
                f"{root} does not exist: this kernel or virtual machine offers no RAPL",
                "on hardware that has it, as root: modprobe intel_rapl_msr",
            )
        for control_type in _CONTROL_TYPES:
            directories = _directories(root, control_type)
            names = {number: _name(directory) for number, directory in directories.items() if number.count(":") == 1}
            if psys and (platform := _platform(directories, names)):
                return Zones(platform, (), ())
            if not psys and (packages := _packages(directories, names)):
                return _with_memories(packages, directories)
    except (OSError, ValueError) as error:  # what was there a moment ago
        raise SourceError(f"{root} cannot be read: {error}") from error
    if psys:
        raise SourceError(f"{root} has no psys zone: this machine does not count the whole platform", _UNSET_PSYS)
    raise SourceError(f"{root} has no package zone: this machine's RAPL does not show its CPU packages")


def _directories(root: Path, control_type: str) -> Mapping[str, Path]:
    """All zones by number, as ``intel-rapl:0`` and ``intel-rapl:0:1``, whether they lie side by side, as in
    /sys/class/powercap, or in one another, as in /sys/devices/virtual/powercap.
    """
    top, below = f"{control_type}:*", f"{control_type}:*:*"
    found: dict[str, Path] = {}
    for pattern in (top, f"{control_type}/{top}", f"{top}/{below}", f"{control_type}/{top}/{below}"):
        for directory in root.glob(pattern):
            if all(part.isdigit() for part in directory.name.split(":")[1:]):
                found.setdefault(directory.name, directory)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(":")[1:]]))


def _packages(directories: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, Zone]:
    """The packages by number; a name that comes twice is one package."""
    packages: dict[str, Zone] = {}
    for number, name in names.items():
        if name.startswith("package-") and name not in {zone.name for zone in packages.values()}:
            packages[number] = _zone(name, directories[number])
    return _without_mirrors(packages)


def _platform(directories: Mapping[str, Path], names: Mapping[str, str]) -> tuple[Zone, ...]:
    zones = [_zone(name, directories[number]) for number, name in names.items() if _PSYS.fullmatch(name)]
    # One of several packages alone may show the platform; the others' counters then stay at 0.
    running = [zone for zone in zones if zone.read_uj() != 0] or zones
    if len(running) > 1:
        told = ", ".join(zone.name for zone in running)
        raise SourceError(f"{told}: which of them is the whole platform's is not known", _UNSET_PSYS)
    return tuple(running)


def _with_memories(packages: Mapping[str, Zone], directories: Mapping[str, Path]) -> Zones:
    memories: list[Zone] = []
    notes: list[str] = []
    for number, directory in directories.items():
        package = packages.get(number.rpartition(":")[0])
        if package is not None and _name(directory) == "dram":
            name = f"{package.name}/dram"
            try:
                memories.append(_zone(name, directory))
            except SourceError as error:
                notes.append(f"{name} is left out: {error.reason}")
    return Zones(tuple(packages.values()), tuple(memories), tuple(notes))


def _without_mirrors(packages: Mapping[str, Zone]) -> dict[str, Zone]:
    kept: dict[str, Zone] = {}
    counts: list[tuple[str, int]] = []
    for number, zone in packages.items():
        package, count = zone.name.partition("-die-")[0], zone.read_uj()
        if not any(package == other and abs(count - seen) < _SAME_COUNTER_UJ for other, seen in counts):
            kept[number] = zone
            counts.append((package, count))
    return kept


def _zone(name: str, directory: Path) -> Zone:
    try:
        zone = Zone(name, directory, _count(directory / "max_energy_range_uj", 2**63))
        zone.read_uj()
    except PermissionError as error:
        raise SourceError(f"no permission to read {error.filename}", RULE_REMEDY) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{directory} cannot be read: {error}") from error
    if zone.max_energy_range_uj == 0:
        raise SourceError(f"{directory}/max_energy_range_uj is 0: a wrap of the counter could not be seen")
    return zone


def _name(directory: Path) -> str:
    return (directory / "name").read_text(encoding="ascii", errors="replace").strip()


def _count(path: Path, largest: int) -> int:
    # Limits are watched twenty times a second: a third of what opening it as text takes.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, _COUNT_BYTES).strip()
    finally:
        os.close(file)
    if not (text.isdigit() and int(text) <= largest):
        shown = text[:40].decode("ascii", errors="replace")
        raise ValueError(f"{path} holds {shown!r}, not a count from 0 to {largest}")
    return int(text)
