"""Brings the files of one model: goes on where an earlier pull ended, checks what arrives, puts it in place whole."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from engine.artifact.content_hash import ContentHashes
from engine.fetch.offer import Offer
from engine.fetch.partial_file import PartialFile, checksum_of
from engine.fetch.pull_watch import PullWatch
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import Transfer
from engine.host.disk import require_room, storing
from protocol.whole_file import sync_directory


class ModelTransfer:
    """The download of one model. Blocking; once."""

    def __init__(
        self, offer: Offer, models_dir: Path, hashes: ContentHashes, watch: PullWatch, first_pause_s: float = 1.0
    ) -> None:
        """``first_pause_s``: see :class:`Transfer`."""
        self._offer = offer
        self._models_dir = models_dir
        self._hashes = hashes
        self._watch = watch
        self._transfer = Transfer(watch, first_pause_s)

    def run(self) -> Path:
        """Where the model lies, of one that is split the first part. What was here already and whole stays.

        Raises:
            DownloadFailed: the sender cannot be reached, refuses, or gave something else than it promised.
            DiskFull: there is no room for it.
            ExecutionCancelled: the watch was told to cancel.
        """
        offer = self._offer
        directory = self._models_dir / offer.directory
        with storing(offer.name, self._models_dir), ExitStack() as open_files:
            missing = [file for file in offer.files if not self._is_here(directory / file.path, file)]
            partials = [open_files.enter_context(PartialFile(directory / file.path, file)) for file in missing]
            for partial in partials:
                partial.check_what_is_there(self._watch)
            to_come = sum(partial.file.size_bytes - partial.size_bytes for partial in partials)
            require_room(offer.name, self._models_dir, to_come)
            for partial in partials:
                self._fetch(partial, partials)
            self._put_in_place(partials)
        return directory / offer.files[0].path

    def _is_here(self, path: Path, file: RemoteFile) -> bool:
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return False
        kind = file.checksum.partition(":")[0]
        if kind == "version":
            return True
        return (self._hashes.of(path) if kind == "sha256" else checksum_of(path, file.checksum)) == file.checksum

    def _fetch(self, partial: PartialFile, all_partials: list[PartialFile]) -> None:
        total = sum(one.file.size_bytes for one in all_partials)
        self._transfer.fetch(
            partial,
            lambda offset, end: self._offer.read(partial.file, offset, end),
            lambda: self._watch.tell("download", sum(one.size_bytes for one in all_partials), total),
            self._offer.senseless(partial.file),
        )

    def _put_in_place(self, partials: list[PartialFile]) -> None:
        """The first part last: it is by this one that a model is found."""
        for partial in reversed(partials):
            self._hashes.remember(partial.target, partial.put_in_place())
        for directory in {partial.target.parent for partial in partials}:
            sync_directory(directory)
