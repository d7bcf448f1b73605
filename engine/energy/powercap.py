"""RAPL counters through the kernel's powercap tree: which zones there are, and reading one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REMEDY = (
    "let your group read the counters: write the line\n"
    '  SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chgrp -R power /sys%p", '
    'RUN+="/bin/chmod -R g=u /sys%p"\n'
    "to /etc/udev/rules.d/90-powercap.rules, run `groupadd -f power; usermod -aG power $USER; udevadm trigger "
    "--subsystem-match=powercap --action=add`, and log in again"
)
"""Only ``chmod g=u`` of what root may read: nobody gains the right to write a power limit that root has not given."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter. It runs from 0 to ``max_energy_range_uj`` and starts again."""

    name: str
    path: Path
    max_energy_range_uj: int

    def read_uj(self) -> int:
        """Raises OSError, ValueError (the file does not hold a count within the range)."""
        return _count(self.path / "energy_uj", self.max_energy_range_uj)


class PowercapUnavailable(Exception):
    """There is nothing to measure with; the message says why and what would change that."""


def find_zones(root: Path) -> tuple[tuple[Zone, ...], tuple[Zone, ...]]:
    """The zones of the CPU packages, and those of their memory, each physical counter once.

    Left out: the twins of the same counters under ``intel-rapl-mmio``, zones that a package's own counter already
    contains (core, uncore), psys, which contains the packages, and dies that mirror their package.

    Raises:
        PowercapUnavailable: no tree, no package, or no permission.
    """
    if not root.is_dir():
        raise PowercapUnavailable(
            f"{root} does not exist: this kernel or virtual machine offers no RAPL (on hardware: modprobe intel_rapl_msr)"
        )
    packages: dict[str, Zone] = {}
    memories: dict[str, Zone] = {}
    for directory in sorted(root.glob("intel-rapl:*"), key=lambda path: (path.name.count(":"), path.name)):
        name = _name(directory)
        if name.startswith("package-") and directory.name.count(":") == 1:
            packages.setdefault(name, _zone(name, directory))
        elif name == "dram" and directory.name.count(":") == 2:
            owner = directory.name.rpartition(":")[0]
            memories.setdefault(owner, _zone("dram", directory))
    if not packages:
        raise PowercapUnavailable(f"{root} has no package zone: this machine's RAPL does not show its CPU packages")
    return tuple(packages.values()), tuple(memories.values())


def _name(directory: Path) -> str:
    try:
        return (directory / "name").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _zone(name: str, directory: Path) -> Zone:
    try:
        zone = Zone(name, directory, _count(directory / "max_energy_range_uj", 2**63))
        zone.read_uj()
    except PermissionError as error:
        raise PowercapUnavailable(f"no permission to read {error.filename}; {REMEDY}") from error
    except (OSError, ValueError) as error:
        raise PowercapUnavailable(f"{directory} cannot be read: {error}") from error
    if zone.max_energy_range_uj == 0:
        raise PowercapUnavailable(f"{directory}/max_energy_range_uj is 0: a wrap of the counter could not be seen")
    return zone


def _count(path: Path, largest: int) -> int:
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not (text.isascii() and text.isdigit() and int(text) <= largest):
        raise ValueError(f"{path} holds {text[:40]!r}, not a count from 0 to {largest}")
    return int(text)
