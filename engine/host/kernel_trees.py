"""The trees in which the kernel shows its own state: nothing that a user could mean to keep lies there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_TREES: Final = (Path("/proc"), Path("/sys"), Path("/dev"))
_DEVICES: Final = Path("/dev")
_MOST_STEPS: Final = 4096
"""Parts of a path, with those of its links, which may lead in circles."""


def kernel_devices(trees: tuple[Path, ...] = _TREES) -> set[int]:
    """The file systems whose files are the kernel's own state, and not a user's."""
    found = set()
    for tree in trees:
        with suppress(OSError):
            found.add(tree.stat().st_dev)
    return found - {Path("/").stat().st_dev}


def leads_through_kernel(path: Path) -> bool:
    """Whether a file that is to be made at an absolute path would lie among devices, or be found by way of the kernel's
    state, wherever that leads: ``/proc/self/cwd`` is another folder for each process that looks."""
    devices, ways = kernel_devices((_DEVICES,)), kernel_devices() - kernel_devices((_DEVICES,))
    here, ahead = Path("/"), list(reversed(path.parts[1:]))
    for _ in range(_MOST_STEPS):
        device = _device(here)
        if device in ways or not ahead:
            break
        if len(ahead) == 1 and device in devices:
            return True
        here, ahead = _stepped(here, ahead)
    return device in ways


def _stepped(here: Path, ahead: list[str]) -> tuple[Path, list[str]]:
    name, rest = ahead[-1], ahead[:-1]
    if name == "..":
        return here.parent, rest
    place = here / name
    try:
        target = place.readlink() if place.is_symlink() else None
    except OSError:
        target = None
    if target is None:
        return place, rest
    parts = target.parts[1:] if target.is_absolute() else target.parts
    return (Path("/") if target.is_absolute() else here), rest + list(reversed(parts))


def _device(place: Path) -> int | None:
    try:
        return place.lstat().st_dev
    except OSError:
        return None
