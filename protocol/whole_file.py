"""Files that are whole or not there: written beside their place, seen onto the disk, and only then named."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """What the block writes, in place of what was at ``path``; ``mode`` is less the process's mask.

    Where the block fails the earlier file stays. A process that is killed meanwhile leaves it too, and ``NAME.*.part``
    beside it. Raises OSError; then too the earlier file stays.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_directory(path.parent)


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put ``content`` at ``path``, as :func:`whole_file` does. Raises OSError."""
    with whole_file(path, mode) as file:
        file.write(content)


def sync_directory(directory: Path) -> None:
    """See to it that names in the directory are as they are even after a loss of power. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
