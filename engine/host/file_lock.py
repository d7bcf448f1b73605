"""Locks that end with the process that holds them: what is not locked is not in use."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.host.regular_file import NotRegularError, open_regular


def is_still_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one of that name, and not one that was renamed or removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked_exclusively(path: Path) -> Iterator[bool]:
    """Whether no other process has the file locked; held until the end. What is not there, or no regular
    file, is free. Raises OSError.
    """
    try:
        descriptor = open_regular(path)
    except (FileNotFoundError, NotRegularError):
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
