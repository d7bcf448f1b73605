"""The disk that models lie on: its room, and what it refuses."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocol.errors import DiskFull, DownloadFailed

FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit that leaves no room."""


@contextmanager
def storing(model: str, directory: Path) -> Iterator[None]:
    """Types what the disk refuses. Raises DiskFull, DownloadFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise _disk_full(model, directory, f"the disk takes no more: {error.strerror}") from error
        raise DownloadFailed(
            f"{model} could not be stored in {directory}: {error}", model=model, reason="storage"
        ) from error


def require_room(model: str, directory: Path, size_bytes: int) -> None:
    """``directory`` is there. Raises DiskFull, OSError."""
    disk = os.statvfs(directory)
    free_bytes = disk.f_bavail * disk.f_frsize
    if size_bytes > free_bytes:
        raise _disk_full(
            model,
            directory,
            f"{size_bytes / 10**6:,.1f} MB are needed and {free_bytes / 10**6:,.1f} MB are free",
            needed_bytes=size_bytes,
            free_bytes=free_bytes,
        )


def _disk_full(model: str, directory: Path, reason: str, **params: int) -> DiskFull:
    return DiskFull(
        f"no room for {model} in {directory}: {reason}. Free some (`engine-ctl models rm`, `engine-ctl cache rm`), or "
        "keep models elsewhere (ENGINE_MODELS_DIR), and pull again: the incomplete file is kept",
        model=model,
        directory=str(directory),
        **params,
    )
