"""Places where a command is to write: tried before any work is done for it, and left as they were found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from protocol.errors import InvalidRequest
from protocol.whole_file import write_whole


def require_folder(folder: Path, option: str) -> None:
    """Raises InvalidRequest: nothing can be written into the folder, or it cannot be made."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with refused(folder, option):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
    finally:
        for place in missing:
            with suppress(OSError):
                place.rmdir()


def require_file(path: Path, option: str) -> None:
    """Raises InvalidRequest: the file's folder is not there, or nothing can be written into it."""
    with refused(path, option), tempfile.TemporaryFile(dir=path.parent):
        pass


def write_output(path: Path, text: str, option: str) -> None:
    """Write the file, whole or not at all. Raises InvalidRequest: it cannot be written."""
    with refused(path, option):
        write_whole(path, text.encode())


@contextmanager
def refused(place: Path, option: str) -> Iterator[None]:
    """The block whose OSError becomes an InvalidRequest that names the place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidRequest(f"{option}: {place} cannot be written: {reason}", field=option) from error
