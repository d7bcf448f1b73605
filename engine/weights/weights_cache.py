"""Weights derived from a model, kept as GGUF files under the name of what they were made of.

    DIRECTORY/NAME.gguf        the weights
    DIRECTORY/NAME.json        what they are, their size and digest: only with it does the entry exist
    DIRECTORY/NAME.*.part      one of the two being written

A writer holds an exclusive lock on what it writes, whoever uses an entry a shared one, so that what a killed process
left is known by having no lock, and nothing in use is ever removed. Times of use are the manifests' times.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from typing_extensions import Self

from engine import _core
from engine.config import EngineConfig
from engine.host.disk import FULL_DISK
from engine.host.file_lock import is_still_at, locked_exclusively
from engine.host.file_memory import file_identity, state_of
from engine.host.regular_file import open_regular, read_regular
from protocol.errors import CacheEntryInUse, CacheFull, UnknownCacheEntry

_NAME: Final = re.compile(r"[0-9a-f]{32}")
"""What :attr:`DerivedWeightsKey.name` gives; a request's name of any other form becomes no path."""
_MAX_MANIFEST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class DerivedWeightsKey:
    """What derived weights depend on: equal keys, equal bytes."""

    content_hash: str
    """The model file's hash."""
    recipe: str
    importance: str | None
    """Hash of the importance data, if any was used."""
    quantizer: int
    """Version of the code that made them."""

    @property
    def name(self) -> str:
        """32 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A file of derived weights in the cache."""

    name: str
    path: Path
    key: DerivedWeightsKey
    model: str
    """Name of the model at the time."""
    size_bytes: int
    digest: str
    used_at: float
    """Seconds since the epoch."""
    in_use: bool


class CachedWeights:
    """An entry that cannot be removed until :meth:`close`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.identity = state_of(os.fstat(descriptor))
        """Identity of the content that was checked."""
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go. Idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class WeightsCache:
    """Blocking; safe for threads and for processes that share the directory."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes

    @classmethod
    def of(cls, config: EngineConfig) -> Self:
        """The cache that a configuration names."""
        return cls(config.cache_dir / "weights", config.weights_cache_mb * 10**6)

    def find(self, key: DerivedWeightsKey) -> tuple[CachedWeights | None, str]:
        """The entry, checked and marked as used; or None and, if there was a damaged one, what was wrong with it.

        A damaged entry is removed. Raises OSError.
        """
        opened = self._open(key.name)
        if opened is None:
            return None, ""
        reason = self._damage(key.name)
        if not reason and file_identity(opened.path) != opened.identity:
            reason = "it changed while it was read"
        if not reason:
            os.utime(self._manifest(key.name))
            return opened, ""
        opened.close()
        self._remove(key.name)
        return None, reason

    def store(
        self, key: DerivedWeightsKey, model: str, size_bytes: int, write: Callable[[Path], None]
    ) -> CachedWeights:
        """Let ``write`` fill a new file of ``size_bytes``, and make it the key's entry.

        Raises:
            CacheFull: neither evicting idle entries nor the disk makes room. Nothing is left behind.
            OSError: the directory cannot be written.
            What ``write`` raises, but for a full disk. Nothing is left behind.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self._make_room(size_bytes, keep=key.name)
        weights = self._weights(key.name)
        with self._full_disk_is_typed(), self._part(weights) as (part, descriptor):
            write(part)
            os.fsync(descriptor)
            manifest = {
                "key": asdict(key),
                "model": model,
                "size_bytes": os.fstat(descriptor).st_size,
                "digest": _core.file_digest(str(part)),
            }
            part.replace(weights)
            self._write_manifest(key.name, manifest)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return CachedWeights(weights, os.dup(descriptor))

    def entries(self) -> tuple[CacheEntry, ...]:
        """Every entry, the one used last first. Raises OSError."""
        found = [self._entry(path.stem) for path in self.directory.glob("*.json")]
        return tuple(sorted((entry for entry in found if entry is not None), key=lambda e: e.used_at, reverse=True))

    def verify(self, name: str) -> str:
        """What is wrong with an entry, "" if nothing. Raises UnknownCacheEntry, OSError."""
        self._require(name)
        return self._damage(name)

    def remove(self, name: str) -> None:
        """Raises UnknownCacheEntry, CacheEntryInUse, OSError."""
        self._require(name)
        if not self._remove(name):
            raise CacheEntryInUse(f"the weights {name} are in use; stop the engine that runs them first", name=name)

    def _open(self, name: str) -> CachedWeights | None:
        while True:
            try:
                descriptor = open_regular(self._weights(name))
            except FileNotFoundError:
                return None
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if is_still_at(descriptor, self._weights(name)):
                break
            os.close(descriptor)
        if not self._manifest(name).exists():
            os.close(descriptor)
            return None
        return CachedWeights(self._weights(name), descriptor)

    def _damage(self, name: str) -> str:
        manifest = self._read_manifest(name)
        if manifest is None:
            return "its manifest is unreadable"
        try:
            size = self._weights(name).stat().st_size
            if size != manifest["size_bytes"]:
                return f"it is {size} bytes long and was {manifest['size_bytes']}"
            digest = _core.file_digest(str(self._weights(name)))
        except (OSError, _core.GgufError) as error:
            return f"it cannot be read: {error}"
        return "" if digest == manifest["digest"] else "its content has changed"

    def _remove(self, name: str) -> bool:
        """Whether it could be removed: not while it is in use."""
        with locked_exclusively(self._weights(name)) as free:
            if free:
                # The manifest first: without it, what remains is rubbish that the next sweep takes.
                self._manifest(name).unlink(missing_ok=True)
                self._weights(name).unlink(missing_ok=True)
            return free

    def _make_room(self, size_bytes: int, keep: str) -> None:
        entries = [entry for entry in self.entries() if entry.name != keep]
        total = sum(entry.size_bytes for entry in entries) + size_bytes
        while total > self.limit_bytes and entries:
            oldest = entries.pop()
            if self._remove(oldest.name):
                total -= oldest.size_bytes
        if total > self.limit_bytes:
            raise CacheFull(
                f"the weights take {size_bytes} bytes and the cache may hold {self.limit_bytes}, "
                f"{total - size_bytes} of them in use; raise ENGINE_WEIGHTS_CACHE_MB",
                size_bytes=size_bytes,
                limit_bytes=self.limit_bytes,
                directory=str(self.directory),
            )
        disk = os.statvfs(self.directory)
        if size_bytes > disk.f_bavail * disk.f_frsize:
            raise self._disk_full(f"{disk.f_bavail * disk.f_frsize} bytes are free and {size_bytes} are needed")

    def _sweep(self) -> None:
        """Remove what killed writers left."""
        orphans = [path for path in self.directory.glob("*.gguf") if not path.with_suffix(".json").exists()]
        for path in [*self.directory.glob("*.part"), *orphans]:
            with locked_exclusively(path) as free:
                if free:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _part(self, target: Path) -> Iterator[tuple[Path, int]]:
        """A new file beside the target, locked, removed at the end unless it was renamed."""
        while True:
            part = target.with_name(f"{target.name}.{secrets.token_hex(8)}.part")
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_still_at(descriptor, part):  # no sweep came before the lock
                break
            os.close(descriptor)
        try:
            yield part, descriptor
        finally:
            part.unlink(missing_ok=True)
            os.close(descriptor)

    @contextmanager
    def _full_disk_is_typed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL_DISK:
                raise self._disk_full(str(error)) from error
            raise

    def _disk_full(self, reason: str) -> CacheFull:
        return CacheFull(
            f"no room for weights in {self.directory}: {reason}; free some with `engine-ctl cache rm`",
            directory=str(self.directory),
        )

    def _write_manifest(self, name: str, manifest: dict[str, Any]) -> None:
        with self._part(self._manifest(name)) as (part, part_descriptor):
            os.write(part_descriptor, json.dumps(manifest, indent=1).encode())
            os.fsync(part_descriptor)
            part.replace(self._manifest(name))
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _entry(self, name: str) -> CacheEntry | None:
        manifest = self._read_manifest(name)
        if manifest is None:
            return None
        try:
            used_at = self._manifest(name).stat().st_mtime
        except FileNotFoundError:
            return None
        with locked_exclusively(self._weights(name)) as free:
            in_use = not free
        return CacheEntry(
            name=name,
            path=self._weights(name),
            key=DerivedWeightsKey(**manifest["key"]),
            model=manifest["model"],
            size_bytes=manifest["size_bytes"],
            digest=manifest["digest"],
            used_at=used_at,
            in_use=in_use,
        )

    def _read_manifest(self, name: str) -> dict[str, Any] | None:
        """None where there is none that this code wrote."""
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            manifest = json.loads(read_regular(self._manifest(name), _MAX_MANIFEST_BYTES)[0])
            fields = {"key": dict, "model": str, "size_bytes": int, "digest": str}
            whole = all(isinstance(manifest[field], kind) for field, kind in fields.items())
            if whole and DerivedWeightsKey(**manifest["key"]).name == name:
                return dict(manifest)
        return None

    def _require(self, name: str) -> None:
        if _NAME.fullmatch(name) is None or self._read_manifest(name) is None:
            raise UnknownCacheEntry(f"no weights {name!r} in {self.directory}", name=name)

    def _weights(self, name: str) -> Path:
        return self.directory / f"{name}.gguf"

    def _manifest(self, name: str) -> Path:
        return self.directory / f"{name}.json"
