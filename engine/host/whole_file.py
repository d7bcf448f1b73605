"""Files that are whole or not there: written beside their place, seen onto the disk, and only then named."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from engine.host.disk import sync_directory


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put ``content`` at ``path``, in place of what was there; ``mode`` is less the process's mask.

    A process that is killed meanwhile leaves the earlier file, and ``NAME.*.part`` beside it. Raises OSError; then too
    the earlier file stays.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    sync_directory(path.parent)
