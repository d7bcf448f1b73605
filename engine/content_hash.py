"""SHA-256 of whole models, computed once for each and remembered across processes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from threading import Lock

from engine.model_parts import model_parts

_CHUNK_BYTES = 1 << 20


class ContentHashes:
    """Remembers hashes by what the kernel says of a file: device, inode, size and modification time. A model that is
    split into several files has the hash of their contents one after another.

    The memory is a cache: a missing, damaged or unwritable one costs time and nothing else. Blocking; thread-safe.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._lock = Lock()

    def of(self, path: Path) -> str:
        """``sha256:`` and 64 hexadecimal digits. Raises OSError."""
        identity = file_identity(path)
        known = self._read().get(identity)
        if known is not None:
            return known
        computed = _hash(path)
        if file_identity(path) == identity:
            with self._lock:
                self._write(self._read() | {identity: computed})
        return computed

    def _read(self) -> dict[str, str]:
        try:
            content = json.loads(self._memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict):
            return {}
        return {key: value for key, value in content.items() if isinstance(value, str) and value.startswith("sha256:")}

    def _write(self, known: dict[str, str]) -> None:
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._memory.parent, delete=False) as file:
                json.dump(known, file, indent=1)
            Path(file.name).replace(self._memory)
        except OSError:
            return


def file_identity(path: Path) -> str:
    """Changes when the model's file does, or any of its files. Raises OSError."""
    statuses = [part.stat() for part in model_parts(path)]
    return "+".join(f"{each.st_dev}:{each.st_ino}:{each.st_size}:{each.st_mtime_ns}" for each in statuses)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for part in model_parts(path):
        with part.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
