"""Fetches a model from the hub: goes on where an earlier pull ended, checks what arrives, puts it in place whole."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from engine.artifact.content_hash import ContentHashes
from engine.fetch.hub.partial_file import PartialFile, checksum_of
from engine.fetch.hub.reference import HubReference
from engine.fetch.hub.repository import HubFile, HubRepository
from engine.fetch.hub.session import HubSession
from engine.fetch.pull_watch import PullWatch
from engine.fetch.transfer import Transfer
from engine.host.disk import require_room, storing, sync_directory
from protocol.errors import DownloadFailed, UnknownModel


class HubPull:
    """The download of one model. Blocking; once."""

    def __init__(
        self,
        reference: HubReference,
        models_dir: Path,
        hashes: ContentHashes,
        watch: PullWatch,
        first_pause_s: float = 1.0,
    ) -> None:
        """``first_pause_s``: see :class:`Transfer`."""
        self._asked = reference
        self._models_dir = models_dir
        self._hashes = hashes
        self._watch = watch
        self._transfer = Transfer(watch, first_pause_s)
        self._session = HubSession()

    def run(self) -> Path:
        """Where the model lies, of one that is split the first part. What was here already and whole stays.

        Raises:
            UnknownModel: the hub has no such repository, revision or file.
            AmbiguousModel: the repository holds several models, and the reference names no file.
            DownloadFailed: the hub cannot be reached, refuses, or gave something else than it promised.
            DiskFull: there is no room for it.
            ExecutionCancelled: the watch was told to cancel.
        """
        repository = self._look_up()
        reference, files = repository.choose(self._asked.file)
        directory = self._models_dir / reference.directory
        with storing(reference.name, self._models_dir), ExitStack() as open_files:
            missing = [file for file in files if not self._is_here(directory / file.path, file)]
            partials = [open_files.enter_context(PartialFile(directory / file.path, file)) for file in missing]
            for partial in partials:
                partial.check_what_is_there(self._watch)
            to_come = sum(partial.file.size_bytes - partial.size_bytes for partial in partials)
            require_room(reference.name, self._models_dir, to_come)
            for partial in partials:
                self._fetch(repository, partial, partials)
            self._put_in_place(partials)
        return directory / files[0].path

    def _look_up(self) -> HubRepository:
        try:
            return self._session.look_up(self._asked)
        except (DownloadFailed, UnknownModel) as error:
            path = self._models_dir / self._asked.directory / (self._asked.file or "")
            if path.is_file():
                message = f"{error.message}. {self._asked.name} is here from an earlier pull, and runs"
                raise type(error)(message, **error.params) from error
            raise

    def _is_here(self, path: Path, file: HubFile) -> bool:
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            return False
        known = self._hashes.of(path) if file.checksum.startswith("sha256:") else checksum_of(path, file.checksum)
        return known == file.checksum

    def _fetch(self, repository: HubRepository, partial: PartialFile, all_partials: list[PartialFile]) -> None:
        total = sum(one.file.size_bytes for one in all_partials)
        self._transfer.fetch(
            partial,
            lambda offset: self._session.read(repository, partial.file, offset),
            lambda: self._watch.tell("download", sum(one.size_bytes for one in all_partials), total),
            self._senseless(repository, partial),
        )

    def _senseless(self, repository: HubRepository, partial: PartialFile) -> DownloadFailed:
        return DownloadFailed(
            f"{self._session.host} does not send the {partial.file.size_bytes} bytes of {partial.file.path}",
            model=repository.reference.name,
            reason="not_a_hub",
        )

    def _put_in_place(self, partials: list[PartialFile]) -> None:
        """The first part last: it is by this one that a model is found."""
        for partial in reversed(partials):
            self._hashes.remember(partial.target, partial.put_in_place())
        for directory in {partial.target.parent for partial in partials}:
            sync_directory(directory)
