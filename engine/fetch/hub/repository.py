"""What a repository on the hub holds, and which of its files a reference means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.artifact.split_files import parts_of
from engine.fetch.hub.reference import HubReference
from engine.fetch.remote_file import RemoteFile
from protocol.errors import AmbiguousModel, DownloadFailed, UnknownModel

_SHOWN_FILES = 50
"""In an error: more are no help, and repositories may hold thousands."""


@dataclass(frozen=True, slots=True)
class HubRepository:
    """At one commit."""

    reference: HubReference
    """The reference in the hub's spelling, without a file."""
    commit: str
    files: Mapping[str, RemoteFile]
    """Those in GGUF, by path."""

    def choose(self, asked: HubReference) -> tuple[HubReference, tuple[RemoteFile, ...]]:
        """The model's reference, and its file or, of one that is split, all of them, the first one first.

        ``asked`` names any file of the model, or its quantization, or neither where the repository has no other model.

        Raises:
            UnknownModel: it holds no such file.
            AmbiguousModel: several models, and nothing to tell which.
            DownloadFailed: a part is missing.
        """
        name = self.reference.name
        if not self.files:
            raise UnknownModel(f"{name} holds no GGUF file that can be pulled", model=name)
        models = sorted({parts_of(path)[0] for path in self.files})
        means = [model for model in models if asked.means(model)]
        if not means or (asked.file is not None and asked.file not in self.files):
            raise self._unknown(asked, models)
        if len(means) > 1:
            raise self._ambiguous(means)
        parts = parts_of(means[0])
        missing = [path for path in parts if path not in self.files]
        if missing:
            raise DownloadFailed(
                f"{name} lacks {missing[0]}: the model cannot be pulled whole", model=name, reason="incomplete"
            )
        return replace(self.reference, file=parts[0]), tuple(self.files[path] for path in parts)

    def _unknown(self, asked: HubReference, models: list[str]) -> UnknownModel:
        what = f"model in {asked.label}" if asked.file is None else f"file {asked.file!r}"
        return UnknownModel(
            f"{self.reference.name} has no {what}. It has {', '.join(models[:_SHOWN_FILES])}",
            model=self.reference.name,
            known=models[:_SHOWN_FILES],
        )

    def _ambiguous(self, models: list[str]) -> AmbiguousModel:
        sizes = {model: self._size(model) for model in models[:_SHOWN_FILES]}
        shown = ", ".join(f"{model} ({size / 10**6:,.1f} MB)" for model, size in sizes.items())
        more = len(models) - len(sizes)
        return AmbiguousModel(
            f"{self.reference.name} holds {len(models)} models: {shown}{f' and {more} more' if more else ''}. "
            f"Name one: engine-ctl models pull {replace(self.reference, file=models[0]).name}",
            model=self.reference.name,
            files=sizes,
        )

    def _size(self, model: str) -> int:
        return sum(self.files[path].size_bytes for path in parts_of(model) if path in self.files)
