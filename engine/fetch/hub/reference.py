"""Names of models on the hub, and where each lies once it is here.

    hf:OWNER/REPO[@REVISION][/FILE.gguf]      the revision may also come last
    hf:OWNER/REPO[@REVISION][:QUANTIZATION]   the file of that quantization, as its name says it
    MODELS/hf/OWNER/REPO[@REVISION]/FILE.gguf

A file's name follows from its place and its place from its name, so that nothing has to be remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, unquote

from typing_extensions import Self

from engine.artifact.split_files import parts_of
from protocol.errors import InvalidRequest

PREFIX: Final = "hf:"
DIRECTORY: Final = "hf"
"""In the models directory."""
_MAX_COMPONENT_BYTES = 200
"""Longest name: file systems take 255 bytes, and unfinished files have longer names."""
_MAX_ID_CHARACTERS = 96
_REFERENCE = re.compile(
    r"hf:(?://)?(?P<owner>[^/@:]+)/(?P<repository>[^/@:]+)"
    r"(?:@(?P<revision>[^/@:]+))?(?:/(?P<file>[^@]+\.gguf)|:(?P<label>[^/@:]+))?(?:@(?P<late>[^@:]+))?",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[A-Za-z0-9_]{1,32}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository, or a model in one: by any of its files, or by the label of its quantization (``Q4_K_M``).

    ``revision`` is a branch, a tag or a commit; ``None`` is the main branch.
    """

    owner: str
    repository: str
    revision: str | None = None
    file: str | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequest for what is no name on the hub, or could lie outside its own directory."""
        if not (_is_identifier(self.owner) and _is_identifier(self.repository)):
            raise _refusal(f"{self.repository_id[:200]!r} is not a repository of the hub")
        if self.revision is not None and not _is_revision(self.revision):
            raise _refusal(f"{self.revision[:200]!r} is not a revision")
        if self.file is not None and not _is_file(self.file):
            raise _refusal(f"{self.file[:200]!r} is not the path of a GGUF file in a repository")
        if self.label is not None and _LABEL.fullmatch(self.label) is None:
            raise _refusal(f"{self.label[:200]!r} is not the label of a quantization")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidRequest."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise _refusal(f"{text[:200]!r} names nothing on the hub")
        if found["revision"] and found["late"]:
            raise _refusal(f"{text[:200]!r} names two revisions")
        revision = found["revision"] or found["late"]
        return cls(
            found["owner"], found["repository"], unquote(revision) if revision else None, found["file"], found["label"]
        )

    @property
    def repository_id(self) -> str:
        """The repository as ``OWNER/NAME``."""
        return f"{self.owner}/{self.repository}"

    @property
    def directory(self) -> Path:
        """The place of the repository's files, relative to the models directory."""
        revision = "" if self.revision is None else f"@{quote(self.revision, safe='')}"
        return Path(DIRECTORY, self.owner, f"{self.repository}{revision}")

    @property
    def name(self) -> str:
        """What :meth:`parse` makes the same reference of."""
        path = self.directory if self.file is None else self.directory / self.file
        return name_of(path) + ("" if self.label is None else f":{self.label}")

    @property
    def place(self) -> Path | None:
        """Where its file lies, relative to the models directory; ``None`` where no file is named."""
        return None if self.file is None else self.directory / self.file

    def means(self, path: str) -> bool:
        """Whether it asks for the model in this repository whose first file is at ``path``.

        A label stands in a file's name, or its folder's, between other characters than those of words: ``Q4_K`` is not
        found in ``Q4_K_M``. Where no file is named, the parts of a vision model that turn pictures into embeddings are
        no models.
        """
        if self.file is not None:
            return parts_of(self.file)[0] == path
        if PurePosixPath(path).name.lower().startswith("mmproj"):
            return False
        if self.label is None:
            return True
        return re.search(rf"(?<![A-Za-z0-9]){self.label}(?![A-Za-z0-9_])", path, re.IGNORECASE) is not None


def is_hub(text: str) -> bool:
    """Whether a model's name asks for the hub."""
    return text[: len(PREFIX)].lower() == PREFIX


def name_of(path: Path) -> str:
    """The model name of a file at a place under :data:`DIRECTORY`, relative to the models directory."""
    return PREFIX + path.relative_to(DIRECTORY).as_posix()


def _is_identifier(text: str) -> bool:
    return (
        len(text) <= _MAX_ID_CHARACTERS
        and _IDENTIFIER.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
    )


def _is_revision(text: str) -> bool:
    return text.isprintable() and "@" not in text and len(quote(text, safe="")) <= _MAX_COMPONENT_BYTES // 2


def _is_file(text: str) -> bool:
    parts = text.split("/")
    return (
        text.isprintable()
        and not {"@", "\\"} & set(text)
        and PurePosixPath(text).suffix.lower() == ".gguf"
        and all(part and not part.startswith(".") and len(part.encode()) <= _MAX_COMPONENT_BYTES for part in parts)
    )


def _refusal(reason: str) -> InvalidRequest:
    return InvalidRequest(f"{reason}; the form is hf:OWNER/REPO[@REVISION][/FILE.gguf | :QUANTIZATION]", field="model")
