"""What was found out about files, remembered across processes for as long as they do not change."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final

from engine.host.regular_file import read_regular
from protocol.whole_file import write_whole

_CLOCK_TICK_NS: Final = 20_000_000
"""Times of change advance with the kernel's tick, 10 ms at most: of two writes within one the second shows nothing."""
_MAX_BYTES: Final = 64 << 20
"""A line a file takes 150 bytes."""


class FileMemory:
    """JSON values by :func:`file_identity`.

    It is a cache: a missing, damaged or unwritable one costs time and nothing else. Blocking; thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def get(self, identity: str) -> Any:
        """``None``: not known."""
        return self.read().get(identity)

    def read(self) -> dict[str, Any]:
        """Everything, by identity."""
        try:
            content = json.loads(read_regular(self._path, _MAX_BYTES)[0])
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def put(self, values: Mapping[str, Any]) -> None:
        """Remember values of the file's state."""
        with self._lock:
            self._write(self.read() | dict(values))

    def _write(self, known: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(known, indent=1).encode(), 0o600)
        except OSError:
            return


def file_identity(*paths: Path) -> str:
    """The state of each: changes when any of the files does, even if its size and time of modification are put back.
    Raises OSError."""
    return "+".join(state_of(path.stat()) for path in paths)


def state_of(status: os.stat_result) -> str:
    """Device, inode, size, times of modification and of the status's change: as ``_core.GgufFile.identity`` has it."""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def outwait_tick(status: os.stat_result) -> None:
    """Until whatever is written to the file from now on gives it another state. Blocking, for 20 ms at most."""
    age_ns = time.time_ns() - status.st_ctime_ns
    if 0 <= age_ns < _CLOCK_TICK_NS:
        time.sleep((_CLOCK_TICK_NS - age_ns) / 1e9)
