"""What a repository on the hub holds, and which of its files a reference means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.artifact.split_files import parts_of
from engine.fetch.hub.reference import HubReference
from protocol.errors import AmbiguousModel, DownloadFailed, UnknownModel

_SHOWN_FILES = 50
"""In an error: more are no help, and repositories may hold thousands."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, at one revision."""

    path: str
    """In the repository."""
    size_bytes: int
    checksum: str
    """``sha256:`` of the content, or ``git:``, the SHA-1 by which git names it."""


@dataclass(frozen=True, slots=True)
class HubRepository:
    """At one commit."""

    reference: HubReference
    """The reference in the hub's spelling, without a file."""
    commit: str
    files: Mapping[str, HubFile]
    """Those in GGUF, by path."""

    def choose(self, file: str | None) -> tuple[HubReference, tuple[HubFile, ...]]:
        """The model's reference, and its file or, of one that is split, all of them, the first one first.

        ``file`` is any of the model's; ``None`` where the repository has no other model.

        Raises:
            UnknownModel: it holds no such file.
            AmbiguousModel: several models, and no file to tell which.
            DownloadFailed: a part is missing.
        """
        name = self.reference.name
        if not self.files:
            raise UnknownModel(f"{name} holds no GGUF file that can be pulled", model=name)
        models = sorted({parts_of(path)[0] for path in self.files})
        if file is None and len(models) > 1:
            raise self._ambiguous(models)
        if file is not None and file not in self.files:
            raise UnknownModel(
                f"{name} has no file {file!r}. It has {', '.join(models[:_SHOWN_FILES])}",
                model=name,
                known=models[:_SHOWN_FILES],
            )
        parts = parts_of(models[0] if file is None else file)
        missing = [path for path in parts if path not in self.files]
        if missing:
            raise DownloadFailed(
                f"{name} lacks {missing[0]}: the model cannot be pulled whole", model=name, reason="incomplete"
            )
        return replace(self.reference, file=parts[0]), tuple(self.files[path] for path in parts)

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
