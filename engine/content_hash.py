"""SHA-256 of whole models, computed once for each and remembered across processes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from engine.file_memory import FileMemory, file_identity

_CHUNK_BYTES = 1 << 20


class ContentHashes:
    """Remembered as long as the files do not change. Of several files it is the hash of their contents one after
    another. Blocking; thread-safe."""

    def __init__(self, memory: Path) -> None:
        self._memory = FileMemory(memory)

    def of(self, *paths: Path) -> str:
        """``sha256:`` and 64 hexadecimal digits. Raises OSError."""
        identity = file_identity(*paths)
        known = self.known(*paths)
        if known is not None:
            return known
        computed = _hash(paths)
        if file_identity(*paths) == identity:
            self._memory.put({identity: computed})
        return computed

    def known(self, *paths: Path) -> str | None:
        """Without reading the files. Raises OSError."""
        value = self._memory.get(file_identity(*paths))
        return value if isinstance(value, str) and value.startswith("sha256:") else None

    def remember(self, path: Path, content_hash: str) -> None:
        """Of a file whose content was seen. Raises OSError."""
        self._memory.put({file_identity(path): content_hash})


def _hash(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
