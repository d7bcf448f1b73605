"""A file on its way here: what has arrived of it lies beside its place, for this pull or a later one.

    DIRECTORY/.NAME.DIGEST-SIZE.part     DIGEST: the first 16 digits of the checksum, so that no two versions are mixed

It is locked while it is written, and takes its place only when it is whole, checked and on the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from io import FileIO
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from engine.fetch.pull_watch import PullWatch
from engine.fetch.remote_file import RemoteFile
from engine.host.file_lock import is_still_at, locked_exclusively
from protocol.errors import DownloadFailed

_CHUNK_BYTES = 1 << 20
_PARTIAL = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{1,16}-(?P<size>\d{1,18})\.part", re.DOTALL)


class _Digest:
    """The file's content hash, which the engine names it by, and what the sender's checksum is of."""

    def __init__(self, size_bytes: int, checksum: str) -> None:
        self._content = hashlib.sha256()
        self._blob = None
        if checksum.startswith("git:"):
            self._blob = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)

    def update(self, data: bytes | memoryview) -> None:
        self._content.update(data)
        if self._blob is not None:
            self._blob.update(data)

    @property
    def content_hash(self) -> str:
        return f"sha256:{self._content.hexdigest()}"

    @property
    def checksum(self) -> str:
        return self.content_hash if self._blob is None else f"git:{self._blob.hexdigest()}"


class PartialFile:
    """Open and locked until the end of the context. Methods raise OSError where the disk does."""

    def __init__(self, target: Path, file: RemoteFile) -> None:
        self.file = file
        self.size_bytes = 0
        """That have arrived; known after :meth:`check_what_is_there`."""
        self.target = target
        self._path = _partial_path(target, file)
        self._digest = _Digest(file.size_bytes, file.checksum)
        self._stream: FileIO | None = None

    def __enter__(self) -> Self:
        """Raises DownloadFailed where another process fetches the same file."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._remove_older()
        while self._stream is None:
            stream = FileIO(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                stream.close()
                raise DownloadFailed(
                    f"another engine is fetching {self.file.path}; wait for it", path=str(self.target), reason="busy"
                ) from error
            if is_still_at(stream.fileno(), self._path):
                self._stream = stream
            else:
                stream.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if os.fstat(self._open.fileno()).st_size == 0:  # nothing to go on from
            self._path.unlink(missing_ok=True)
        self._open.close()

    @property
    def path(self) -> Path:
        """Where it lies until it takes its place."""
        return self._path

    @property
    def _open(self) -> FileIO:
        if self._stream is None:
            raise ValueError("the file is not open")
        return self._stream

    @property
    def is_complete(self) -> bool:
        """Whether all bytes have arrived."""
        return self.size_bytes == self.file.size_bytes

    def check_what_is_there(self, watch: PullWatch) -> None:
        """Take up what an earlier pull left. Raises ExecutionCancelled."""
        size = os.fstat(self._open.fileno()).st_size
        if size > self.file.size_bytes:
            self.restart()
            return
        self._open.seek(0)
        while chunk := self._open.read(_CHUNK_BYTES):
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            watch.tell("check", self.size_bytes, size)

    def append(self, data: bytes) -> None:
        """Write the next bytes, and add them to the digest. Raises OSError."""
        rest = memoryview(data)
        while rest:
            written = self._open.write(rest) or 0
            self._digest.update(rest[:written])
            self.size_bytes += written
            rest = rest[written:]

    def restart(self) -> None:
        """Begin from nothing."""
        self._open.seek(0)
        self._open.truncate()
        self._digest = _Digest(self.file.size_bytes, self.file.checksum)
        self.size_bytes = 0

    def finish(self) -> None:
        """Hold what has arrived against the checksum, where there is one, and see it onto the disk.

        Raises:
            DownloadFailed: it is something else. It is removed, since no later pull could go on from it.
        """
        found = self._digest.checksum
        if found != self.file.checksum and not self.file.checksum.startswith("version:"):
            self._path.unlink(missing_ok=True)
            raise DownloadFailed(
                f"{self.file.path} arrived with the checksum {found}, not {self.file.checksum}: it was damaged on the "
                "way and removed. Pull again",
                reason="checksum",
                expected=self.file.checksum,
                found=found,
            )
        os.fsync(self._open.fileno())

    def discard(self) -> None:
        """It has served its purpose, and does not take the place."""
        self._path.unlink(missing_ok=True)

    def put_in_place(self) -> str:
        """Move a finished file to its place. Returns its ``sha256:`` content hash."""
        self._path.replace(self.target)
        return self._digest.content_hash

    def _remove_older(self) -> None:
        for path in partial_files(self.target):
            if path != self._path:
                with locked_exclusively(path) as free:
                    if free:
                        path.unlink(missing_ok=True)


def _partial_path(target: Path, file: RemoteFile) -> Path:
    digest = file.checksum.partition(":")[2][:16]
    return target.with_name(f".{target.name}.{digest}-{file.size_bytes}.part")


def partial_files(*targets: Path) -> tuple[Path, ...]:
    """What has arrived of files that are to lie in one folder: of each one at most, or one of each version."""
    try:
        beside = list(targets[0].parent.iterdir())
    except OSError:
        return ()
    wanted = frozenset(targets)
    return tuple(path for path in beside if target_of(path) in wanted)


def target_of(partial: Path) -> Path | None:
    """Where a partial file is to lie; ``None`` where it is none."""
    found = _PARTIAL.fullmatch(partial.name)
    return None if found is None else partial.with_name(found["name"])


def whole_size(partial: Path) -> int:
    """Bytes that a partial file is to have."""
    found = _PARTIAL.fullmatch(partial.name)
    return 0 if found is None else int(found["size"])


def checksum_of(path: Path, checksum: str) -> str:
    """The checksum of a whole file, of the kind of ``checksum``. Raises OSError."""
    digest = _Digest(path.stat().st_size, checksum)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.checksum
