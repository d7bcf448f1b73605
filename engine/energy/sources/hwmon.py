"""Joules of AMD's CPU sockets from a hwmon driver, zenergy or amd_energy, which unwraps the counters itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.energy.sources.counted_source import CountedSource
from engine.energy.sources.counter import Counter
from engine.energy.sources.permissions import RULE_REMEDY
from engine.energy.sources.self_test import require_movement, watch
from engine.energy.sources.source import SourceError

_DRIVERS = ("zenergy", "amd_energy")
"""They show the same counters: the second serves where the first is missing."""
_SOCKET = re.compile(r"Esocket(\d+)")
"""The label of a socket's counter. Those of cores are part of it."""
_UPDATE_MS = 1.0
_LARGEST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class _Socket:
    number: int
    label: Path
    count: Path

    def read_uj(self) -> int:
        """Raises OSError, ValueError."""
        text = _text(self.count)
        if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST):
            raise ValueError(f"{self.count} holds {text[:40]!r}, not a count")
        return int(text)

    def identify(self) -> None:
        """Raises OSError, ValueError: what is there now is another counter."""
        found = _SOCKET.fullmatch(_text(self.label))
        if found is None or int(found[1]) != self.number:
            raise ValueError(f"{self.count} is no longer the counter of package-{self.number}")


class HwmonSource(CountedSource):
    """Sums the sockets."""

    def __init__(
        self,
        root: Path,
        pause: Callable[[float], None] = time.sleep,
        *,
        psys: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Find the sockets' counters and see them move, which takes up to a tenth of a second.

        Raises:
            SourceError: no such driver, no socket, no permission, or a counter that stands still; or ``psys``:
                it does not count the platform.
        """
        try:
            sockets = _sockets(root)
        except (OSError, ValueError) as error:
            raise SourceError(f"{root} cannot be read: {error}") from error
        if psys:
            raise SourceError(
                "it counts CPU packages and not the platform", "unset ENGINE_ENERGY_PSYS, to count the CPU packages"
            )
        _require_permission(sockets)
        counters = [
            Counter(f"package-{socket.number}", socket.read_uj, update_ms=_UPDATE_MS, identify=socket.identify)
            for socket in sockets
        ]
        require_movement(watch(counters, _UPDATE_MS, clock, pause), str(sockets[0].count.parent))
        super().__init__("hwmon", counters, update_ms=_UPDATE_MS, clock=clock)


def _sockets(root: Path) -> list[_Socket]:
    """Those of the better driver, in their order."""
    folders = {_text(folder / "name"): folder for folder in _devices(root) if (folder / "name").is_file()}
    folder = next((folders[driver] for driver in _DRIVERS if driver in folders), None)
    if folder is None:
        raise SourceError(
            f"{root} has neither {' nor '.join(_DRIVERS)}: AMD's CPUs alone have them, and most kernels do not"
        )
    found: dict[int, _Socket] = {}
    for label in folder.glob("energy*_label"):
        if named := _SOCKET.fullmatch(_text(label)):
            number = int(named[1])
            found[number] = _Socket(number, label, label.with_name(label.name.replace("_label", "_input")))
    if not found:
        raise SourceError(f"{folder} labels no counter of a whole socket")
    return [found[number] for number in sorted(found)]


def _devices(root: Path) -> list[Path]:
    """Listed, since a glob tells no one that it may not look (from Python 3.13 on). Raises OSError."""
    try:
        return sorted(folder for folder in root.iterdir() if folder.name.startswith("hwmon"))
    except FileNotFoundError:
        return []


def _require_permission(sockets: list[_Socket]) -> None:
    for socket in sockets:
        try:
            socket.read_uj()
        except PermissionError as error:
            raise SourceError(f"no permission to read {socket.count}", RULE_REMEDY) from error
        except (OSError, ValueError) as error:
            raise SourceError(f"{socket.count} cannot be read: {error}") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()
