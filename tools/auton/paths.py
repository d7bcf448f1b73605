"""Paths in a worktree: the patterns that allow them, and the file that one leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from auton.text import steers

_MOST_PARTS = 64
_MOST_BYTES = 1024
_Item = TypeVar("_Item")


def is_allowed(path: str, allowed: Sequence[str]) -> bool:
    """Whether a path fits one of the patterns, part by part: ``**`` is any number of folders, or, at the end, all that
    is in one; within a part, ``*`` is any text and ``?`` any character.

    Takes time by the product of both lengths, whatever a pattern is.
    """
    parts = path.split("/")
    return any(_fits(_parts(one), parts, "**", _fits_name) for one in allowed)


def safe_path(folder: Path, path: str) -> Path:
    """A file of a worktree by its path there.

    Raises ValueError: it leads out of it, to a link, or into Git's own; its name is too long, or not plain text.
    """
    if steers(path) or len(path.encode()) > _MOST_BYTES:
        raise ValueError(f"{path[:_MOST_BYTES]!r} is no name of at most {_MOST_BYTES} bytes of plain text")
    relative = PurePosixPath(path)
    if relative.is_absolute() or not relative.parts or ".." in relative.parts or len(relative.parts) > _MOST_PARTS:
        raise ValueError(f"{path!r} is no path in the repository, of at most {_MOST_PARTS} parts")
    if any(part.casefold() == ".git" for part in relative.parts):
        raise ValueError(f"{path!r} is Git's own")
    found = folder.joinpath(*relative.parts)
    try:
        inside = found.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        inside = False
    if not inside or found.is_symlink():
        raise ValueError(f"{path!r} is a link")
    return found


def _parts(pattern: str) -> list[str]:
    parts = pattern.split("/")
    return [*parts, "*"] if parts[-1] == "**" else parts


def _fits_name(pattern: str, name: str) -> bool:
    return _fits(pattern, name, "*", lambda one, other: one in ("?", other))


def _fits(wanted: Sequence[_Item], given: Sequence[_Item], many: _Item, fits: Callable[[_Item, _Item], bool]) -> bool:
    """Whether items are what is wanted, where ``many`` stands for any number of them.

    The last ``many`` alone is tried again with one item more: what came before it fits as early as it can.
    """
    place, met, last, resumed = 0, 0, -1, 0
    while met < len(given):
        if place < len(wanted) and wanted[place] == many:
            last, resumed, place = place, met, place + 1
        elif place < len(wanted) and fits(wanted[place], given[met]):
            place, met = place + 1, met + 1
        elif last >= 0:
            resumed += 1
            place, met = last + 1, resumed
        else:
            return False
    return all(one == many for one in wanted[place:])
