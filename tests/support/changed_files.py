"""What other programs do to a file while somebody uses it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path

Act = Callable[[], None]
Change = Callable[[Path], Act]
"""Prepared for a file, then done at once."""


def outwait_tick(path: Path) -> None:
    """Wait until a file that is written now has a later time of change than this one: that clock is coarse."""
    probe = path.with_suffix(".probe")
    probe.touch()
    while probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        probe.touch()
    probe.unlink()


def truncate(path: Path) -> Act:
    """A restarted download that begins anew."""
    size = path.stat().st_size // 2
    return lambda: os.truncate(path, size)


def overwrite_with_less(path: Path) -> Act:
    """`cp SMALLER FILE`: the same inode, cut to nothing and written again."""
    content = path.read_bytes()[: path.stat().st_size // 3]

    def act() -> None:
        path.write_bytes(content)

    return act


def overwrite_in_place(path: Path) -> Act:
    """`rsync --inplace --times`: as many bytes, and the time of modification as it was."""
    before, end = path.stat(), _other_end(path)

    def act() -> None:
        with path.open("r+b") as file:
            file.seek(-len(end), os.SEEK_END)
            file.write(end)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return act


def replace_by_another(path: Path) -> Act:
    """`mv NEW FILE`: another inode of that name."""
    new, end = path.with_suffix(".new"), _other_end(path)
    shutil.copyfile(path, new)
    with new.open("r+b") as file:
        file.seek(-len(end), os.SEEK_END)
        file.write(end)

    def act() -> None:
        new.replace(path)

    return act


def delete(path: Path) -> Act:
    return path.unlink


def append(path: Path) -> Act:
    """A download that goes on behind the end."""

    def act() -> None:
        with path.open("ab") as file:
            file.write(bytes(64))

    return act


def _other_end(path: Path) -> bytes:
    """The last bytes, each with its lowest bit turned: of weights that makes others, all finite."""
    with path.open("rb") as file:
        file.seek(-256, os.SEEK_END)
        return bytes(byte ^ 1 for byte in file.read())


def _in_a_later_tick(change: Change) -> Change:
    @wraps(change)
    def prepare(path: Path) -> Act:
        act = change(path)
        outwait_tick(path)
        return act

    return prepare


CHANGES: dict[str, Change] = {
    change.__name__: _in_a_later_tick(change)
    for change in (truncate, overwrite_with_less, overwrite_in_place, replace_by_another, delete, append)
}
