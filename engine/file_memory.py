"""What was found out about files, remembered across processes for as long as they do not change."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any


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
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def put(self, values: Mapping[str, Any]) -> None:
        with self._lock:
            self._write(self.read() | dict(values))

    def _write(self, known: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                json.dump(known, file, indent=1)
            Path(file.name).replace(self._path)
        except OSError:
            return


def file_identity(*paths: Path) -> str:
    """Device, inode, size and modification time of each: changes when any of the files does. Raises OSError."""
    statuses = [path.stat() for path in paths]
    return "+".join(f"{each.st_dev}:{each.st_ino}:{each.st_size}:{each.st_mtime_ns}" for each in statuses)
