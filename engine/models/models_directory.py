"""The models that are here: which files there are, what each is called, and what is on its way.

    MODELS/NAME.gguf                               called NAME, or by the catalogue's name; NAME.gguf where NAME is
                                                   the catalogue's name of another file that is here
    MODELS/hf/OWNER/REPO[@REVISION]/FILE.gguf      called hf:OWNER/REPO[@REVISION]/FILE.gguf
    MODELS/ollama/NAMESPACE/NAME/TAG.gguf          called ollama:[NAMESPACE/]NAME:TAG
    MODELS/web/https/HOST/PATH/FILE.gguf           called https://HOST/PATH/FILE.gguf

Of a model in several files the first stands for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.artifact.split_files import is_later_part, part_paths, parts_of, split_file
from engine.fetch.catalogue import entry_named, entry_of_file
from engine.fetch.hub.reference import HubReference
from engine.fetch.partial_file import partial_files, target_of
from engine.fetch.reference import DIRECTORIES, name_at, parse_reference
from protocol.errors import AmbiguousModel
from protocol.summaries import ModelSource

PULLED: Final[tuple[ModelSource, ...]] = ("hub", "ollama", "web")
"""Where models come from that lie in folders of their own, by names that say where from."""


def shown(name: str | Path) -> str:
    """A file's name as text; bytes of it that are no UTF-8 as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model, whole or not, by its first file."""

    name: str
    path: Path
    source: ModelSource

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files that it should have, the first one first."""
        return part_paths(self.path)

    @property
    def missing(self) -> tuple[Path, ...]:
        """The parts that are not there."""
        return tuple(part for part in self.parts if not part.is_file())

    @property
    def partials(self) -> tuple[Path, ...]:
        """What has arrived of files, or of the wheel that brings one, and is on its way."""
        if self.source == "file":
            return ()
        return partial_files(*self.parts)

    def goes_by(self, name: str) -> bool:
        """A short name, in lower case: the file's, with or without its ending or its number; in Ollama's registry, what
        Ollama itself calls it."""
        if self.source == "ollama":
            name_there = self.name.lower().removeprefix("ollama:")
            return name in {name_there, name_there.removesuffix(":latest")}
        path = self.path
        part = split_file(path.name)
        return name in {path.name.lower(), path.stem.lower(), (path.stem if part is None else part.stem).lower()}


class ModelsDirectory:
    """Blocking; thread-safe. What cannot be read is as if it were not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def models(self) -> tuple[ModelFile, ...]:
        """Those whose first file is here, by name."""
        found = [path for path in self._files() if path.suffix != ".part" and not is_later_part(path.name)]
        return tuple(sorted(map(self.model_at, found), key=lambda model: (model.source in PULLED, model.name)))

    def unfinished(self) -> tuple[ModelFile, ...]:
        """Those of which something has arrived and the first file is not here yet."""
        targets = {target for path in self._files() if (target := target_of(path)) is not None}
        firsts = {target.with_name(parts_of(target.name)[0]) for target in targets}
        return tuple(self.model_at(path) for path in sorted(firsts) if not path.is_file())

    def model_at(self, path: Path) -> ModelFile:
        """The model that a file, anywhere, stands for."""
        pulled = name_at(path.relative_to(self.path)) if path.is_relative_to(self.path) else None
        if pulled is not None:
            source, name = pulled
            return ModelFile(shown(name), path, source)
        entry = entry_of_file(path.name)
        if entry is not None:
            return ModelFile(entry.name, path, "catalogue")
        part = split_file(path.name)
        stem = path.stem if part is None else part.stem
        entry = entry_named(stem)
        taken = entry is not None and (self.path / entry.file_name).is_file()
        return ModelFile(shown(path.name if taken else stem), path, "file")

    def find(self, name: str, among: Iterable[ModelFile] | None = None) -> ModelFile | None:
        """The model of that name, in any case: its own, a short one if no other has it, or its repository's if that has
        no other.

        Raises:
            AmbiguousModel: several go by that name.
            InvalidRequest: a reference that can mean nothing.
        """
        models = self.models() if among is None else tuple(among)
        reference = parse_reference(name)
        wanted = name.lower()
        named = wanted if reference is None else reference.name.lower()
        ways = (
            [model for model in models if model.name.lower() == named],
            [model for model in models if model.source not in PULLED and model.goes_by(wanted)],
            [model for model in models if model.source in PULLED and model.goes_by(wanted)],
            [model for model in models if isinstance(reference, HubReference) and is_meant(model, reference)],
        )
        matches = next((matches for matches in ways if matches), [])
        if len(matches) > 1:
            names = [model.name for model in matches]
            raise AmbiguousModel(f"{name!r} is a name of {len(names)} models: {', '.join(names)}", files=names)
        return matches[0] if matches else None

    def _files(self) -> list[Path]:
        """Everywhere that the engine looks for models."""
        own = next(os.walk(self.path), (str(self.path), [], []))
        found = [
            Path(directory, name)
            for directory, _, names in (own, *(found for one in DIRECTORIES for found in os.walk(self.path / one)))
            for name in names
            if name.lower().endswith((".gguf", ".part"))
        ]
        return [path for path in found if path.is_file()]


def is_meant(model: ModelFile, reference: HubReference) -> bool:
    """Whether the model lies in the repository, and is one that the reference may mean."""
    repository = replace(reference, file=None, label=None).name.lower()
    within = model.name[len(repository) + 1 :]
    return model.name.lower().startswith(f"{repository}/") and reference.means(within)
