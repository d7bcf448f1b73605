"""SHA-256 of whole models, computed once for each and remembered across processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path

from engine.artifact.unread_files import UnreadFiles
from engine.host.changed_file import changed_file
from engine.host.file_memory import FileMemory, file_identity, outwait_tick, state_of
from engine.host.regular_file import opened_regular

_CHUNK_BYTES = 1 << 20
_AT_ONCE_BYTES = 64 << 20
"""Read in a tenth of a second."""
_IN_A_HURRY: ContextVar[bool] = ContextVar("_IN_A_HURRY", default=False)


@contextmanager
def unread_files_told() -> Iterator[None]:
    """Within the block large files that were never hashed raise UnreadFiles, and are not read."""
    token = _IN_A_HURRY.set(True)
    try:
        yield
    finally:
        _IN_A_HURRY.reset(token)


class ContentHashes:
    """Remembered as long as the files do not change. Of several files it is the hash of their contents one after
    another. Blocking; thread-safe."""

    def __init__(self, memory: Path) -> None:
        self._memory = FileMemory(memory)

    def of(self, *paths: Path, identity: str | None = None) -> str:
        """``sha256:`` and 64 hexadecimal digits. ``identity``: of the state of the files that is meant; the present one
        if left out.

        Raises:
            InvalidModel: the files are not in that state, or change while they are read.
            UnreadFiles: see :func:`unread_files_told`.
            OSError
        """
        found = file_identity(*paths)
        if identity not in (None, found):
            raise changed_file(str(paths[0]))
        known = self._known(found)
        if known is not None:
            return known
        if _IN_A_HURRY.get() and sum(path.stat().st_size for path in paths) > _AT_ONCE_BYTES:
            raise UnreadFiles(partial(self.of, *paths, identity=identity))
        computed, states = _hash(paths)
        if states != found or file_identity(*paths) != found:
            raise changed_file(str(paths[0]))
        self._memory.put({found: computed})
        return computed

    def known(self, *paths: Path) -> str | None:
        """Without reading the files. Raises OSError."""
        return self._known(file_identity(*paths))

    def remember(self, path: Path, content_hash: str) -> None:
        """Keep the hash of a file whose content was seen. Raises OSError."""
        self._memory.put({file_identity(path): content_hash})

    def _known(self, identity: str) -> str | None:
        value = self._memory.get(identity)
        return value if isinstance(value, str) and value.startswith("sha256:") else None


def file_sha256(path: Path) -> str:
    """The hexadecimal digits of the hash of one file's content. Raises OSError."""
    return _hash((path,))[0].removeprefix("sha256:")


def _hash(paths: tuple[Path, ...]) -> tuple[str, str]:
    """The hash, and the state that every file was in when it was opened."""
    digest = hashlib.sha256()
    states = []
    for path in paths:
        with opened_regular(path) as descriptor:
            status = os.fstat(descriptor)
            states.append(state_of(status))
            outwait_tick(status)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            left = status.st_size  # one that grows meanwhile would have no end
            while left and (chunk := os.read(descriptor, min(left, _CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
    return f"sha256:{digest.hexdigest()}", "+".join(states)
