"""RAPL counters in the kernel's powercap tree: which zones there are, and reading one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONTROL_TYPES = ("intel-rapl", "intel-rapl-mmio")
"""The second shows the same counters by another way: it serves only where the first is missing."""
_COUNT_BYTES = 64
"""More than any count has digits."""
_SAME_COUNTER_UJ = 1_000_000
"""Dies of one package this close to each other, after all their machine's uptime, are one counter shown twice."""

REMEDY = (
    "let a group of your choice read the counters: put\n"
    '  SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", RUN+="/bin/sh -c '
    "'cd /sys%p; chgrp power energy_uj max_energy_range_uj; chmod g+r energy_uj max_energy_range_uj'\"\n"
    "into /etc/udev/rules.d/90-engine-energy.rules, then run: groupadd -f power; usermod -aG power $USER; "
    "udevadm control --reload; udevadm trigger --subsystem-match=powercap --action=add; and log in again"
)


class PowercapError(Exception):
    """There is nothing to measure with; the message says why and what would change that."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter. It runs up to ``max_energy_range_uj`` and starts again from 0."""

    name: str
    path: Path
    max_energy_range_uj: int

    def read_uj(self) -> int:
        """Raises OSError, ValueError (the file does not hold a count within the range)."""
        return _count(self.path / "energy_uj", self.max_energy_range_uj)


@dataclass(frozen=True, slots=True)
class Zones:
    packages: tuple[Zone, ...]
    memories: tuple[Zone, ...]


def find_zones(root: Path) -> Zones:
    """The zones of the CPU packages and those of their memory, each physical counter once.

    Left out: twins under another control type, what a package's own counter already contains (core, uncore), what
    contains the packages (psys), and dies that mirror one another.

    Raises:
        PowercapError: no tree, no package, no permission, or a zone that cannot be read.
    """
    if not root.is_dir():
        raise PowercapError(
            f"{root} does not exist: this kernel or virtual machine offers no RAPL "
            "(on hardware that has it: modprobe intel_rapl_msr)"
        )
    for control_type in _CONTROL_TYPES:
        packages: dict[str, Zone] = {}
        for directory, name in _named(root, f"{control_type}:*", depth=1):
            if name.startswith("package-"):
                packages.setdefault(name, _zone(name, directory))
        if packages:
            memories = [
                _zone(name, directory)
                for directory, name in _named(root, f"{control_type}:*:*", depth=2)
                if name == "dram" and (root / directory.name.rpartition(":")[0]) in _paths(packages)
            ]
            return Zones(_without_mirrors(packages), tuple(memories))
    raise PowercapError(f"{root} has no package zone: this machine's RAPL does not show its CPU packages")


def _named(root: Path, pattern: str, depth: int) -> Iterator[tuple[Path, str]]:
    for directory in sorted(root.glob(pattern)):
        if directory.name.count(":") == depth:
            try:
                yield directory, (directory / "name").read_text(encoding="ascii", errors="replace").strip()
            except OSError:
                continue


def _paths(zones: dict[str, Zone]) -> set[Path]:
    return {zone.path for zone in zones.values()}


def _without_mirrors(packages: dict[str, Zone]) -> tuple[Zone, ...]:
    kept: list[tuple[str, int, Zone]] = []
    for name, zone in packages.items():
        package = name.partition("-die-")[0]
        count = zone.read_uj()
        if not any(package == other and abs(count - seen) < _SAME_COUNTER_UJ for other, seen, _ in kept):
            kept.append((package, count, zone))
    return tuple(zone for _, _, zone in kept)


def _zone(name: str, directory: Path) -> Zone:
    try:
        zone = Zone(name, directory, _count(directory / "max_energy_range_uj", 2**63))
        zone.read_uj()
    except PermissionError as error:
        raise PowercapError(f"no permission to read {error.filename}; {REMEDY}") from error
    except (OSError, ValueError) as error:
        raise PowercapError(f"{directory} cannot be read: {error}") from error
    if zone.max_energy_range_uj == 0:
        raise PowercapError(f"{directory}/max_energy_range_uj is 0: a wrap of the counter could not be seen")
    return zone


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
