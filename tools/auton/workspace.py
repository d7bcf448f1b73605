"""A folder to build in, which goes with all that programs have left in it, however deep and however locked."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auton.errors import AutonError


@contextmanager
def workspace() -> Iterator[Path]:
    """An empty folder, removed at the end. Raises AutonError: it cannot be."""
    private = Path(tempfile.mkdtemp(prefix="auton-"))
    folder = private / "work"
    folder.mkdir()
    try:
        yield folder
    finally:
        try:
            _remove(folder)
            private.rmdir()
        except OSError as error:
            raise AutonError(f"what was built cannot be removed: {error}") from error


def _remove(folder: Path) -> None:
    """Remove a folder with all in it; links are not followed.

    Folders are moved up beside each other before they are emptied: no depth of theirs is a depth of calls, of open
    files, or of a path.
    """
    waiting, moved = [folder], 0
    while waiting:
        current = waiting.pop()
        for entry in _entries(current):
            if stat.S_ISDIR(entry.lstat().st_mode):
                entry.chmod(stat.S_IRWXU)
                moved += 1
                waiting.append(entry.rename(folder.with_name(str(moved))))
            else:
                entry.unlink()
        current.rmdir()


def _entries(folder: Path) -> list[Path]:
    folder.chmod(stat.S_IRWXU)
    with os.scandir(folder) as found:
        return [Path(one.path) for one in found]
