"""The way to open a file whose path came from outside: regular files alone, without waiting, within a bound.

A named pipe would keep the reader waiting, a device has no end, and some do things when they are opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotRegularError(OSError):
    """It is a folder, a pipe, a socket or a device."""


def open_regular(path: Path) -> int:
    """A descriptor for reading, which the caller closes. Raises OSError, and so NotRegularError."""
    from engine import _core  # noqa: PLC0415  a check-up must get as far as telling that it cannot be loaded

    # Looked at before it is opened, for the sake of devices, and after, since it may be another by then.
    _require_regular(path.stat(), path)
    descriptor = _core.open_to_read(os.fsencode(path))
    try:
        _require_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def opened_regular(path: Path) -> Iterator[int]:
    """The same, closed at the end."""
    descriptor = open_regular(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: Path, max_bytes: int) -> tuple[bytes, os.stat_result]:
    """The content, as far as its size when it was opened, and that state. Raises OSError, also where it is larger."""
    with opened_regular(path) as descriptor:
        status = os.fstat(descriptor)
        if status.st_size > max_bytes:
            raise OSError(
                errno.EOVERFLOW, f"it is {status.st_size} bytes long, and {max_bytes} are read at most", str(path)
            )
        content = bytearray()
        while len(content) < status.st_size and (chunk := os.read(descriptor, status.st_size - len(content))):
            content += chunk
        return bytes(content), status


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(errno.EINVAL, "it is not a regular file", str(path))
