"""Finds models by name or path, lists them and fetches the ones the catalogue knows."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from engine import _core
from engine.artifact import ModelArtifact
from engine.catalogue import CATALOGUE, entry_named, entry_of_file
from engine.config import EngineConfig
from engine.content_hash import ContentHashes, file_identity
from engine.download import Progress, download_model
from engine.model_parts import is_later_part, model_name, model_parts
from protocol.descriptions import ModelSummary
from protocol.errors import InvalidModel, OutOfMemoryBudget, UnknownModel, UnsupportedModel

_MAX_OPEN = 16
"""Artifacts kept open, the least recently used dropped first: a tokenizer may take a hundred megabytes."""


class ModelRegistry:
    """Every model a request can name. Methods block; call them in a worker thread. Thread-safe."""

    def __init__(self, config: EngineConfig) -> None:
        self._models_dir = config.models_dir
        self._hashes = ContentHashes(config.cache_dir / "content-hashes.json")
        self._open: OrderedDict[Path, tuple[str, ModelArtifact]] = OrderedDict()
        self._open_lock = Lock()
        self._pull_lock = Lock()

    def resolve(self, name_or_path: str) -> ModelArtifact:
        """The artifact of a catalogue name, a file name in the models directory (``.gguf`` optional) or a path.

        Names match in any case. A file is parsed once for as long as it does not change.

        Raises:
            UnknownModel: nothing of that name.
            InvalidModel: a file, and not a well-formed GGUF.
            UnsupportedModel: a GGUF with a tensor of a type this engine lacks.
            OutOfMemoryBudget: no room to map it.
        """
        try:
            path = self._find(name_or_path)
            identity = file_identity(path)
            with self._open_lock:
                known_identity, artifact = self._open.get(path, ("", None))
                if artifact is None or known_identity != identity:
                    artifact = self._parse(path)
                    self._open[path] = (identity, artifact)
                self._open.move_to_end(path)
                while len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)
        except OSError as error:
            raise InvalidModel(f"{name_or_path} cannot be read: {error}", model=name_or_path) from error
        except _core.GgufError as error:
            raise InvalidModel(f"{name_or_path} is not a well-formed GGUF: {error}", model=name_or_path) from error
        except _core.UnsupportedModelError as error:
            raise UnsupportedModel(f"{name_or_path} cannot be run: {error}", model=name_or_path) from error
        except MemoryError as error:
            raise OutOfMemoryBudget(f"no memory left to open {name_or_path}", model=name_or_path) from error
        return artifact

    def summaries(self) -> tuple[ModelSummary, ...]:
        """The catalogue, pulled or not, then every other GGUF in the models directory."""
        files = {path.name: path for path in self._files()}
        summaries = []
        for entry in CATALOGUE:
            path = files.pop(entry.file_name, None)
            size = entry.size_bytes if path is None else path.stat().st_size
            summaries.append(
                ModelSummary(name=entry.name, path=str(path or ""), size_bytes=size, installed=path is not None)
            )
        for path in files.values():
            size = sum(part.stat().st_size for part in model_parts(path) if part.is_file())
            summaries.append(ModelSummary(name=model_name(path), path=str(path), size_bytes=size, installed=True))
        return tuple(summaries)

    def pull(self, name: str, progress: Progress) -> ModelArtifact:
        """Fetch a catalogue model, unless it is here already and whole.

        Raises:
            UnknownModel: the catalogue has no such name.
            DownloadFailed: it could not be fetched, checked or stored.
        """
        entry = entry_named(name)
        if entry is None:
            known = [entry.name for entry in CATALOGUE]
            raise UnknownModel(f"no model {name!r} to pull; the catalogue has {', '.join(known)}", known=known)
        with self._pull_lock:
            path = self._models_dir / entry.file_name
            if not path.is_file() or self._hashes.of(path) != f"sha256:{entry.sha256}":
                self._hashes.of(download_model(entry, self._models_dir, progress))
        return self.resolve(entry.name)

    def _parse(self, path: Path) -> ModelArtifact:
        entry = entry_of_file(path.name)
        name = model_name(path) if entry is None else entry.name
        return ModelArtifact(name, path, _core.GgufFile(str(path)), self._hashes)

    def _find(self, name_or_path: str) -> Path:
        entry = entry_named(name_or_path)
        if entry is not None and (self._models_dir / entry.file_name).is_file():
            return self._models_dir / entry.file_name
        if entry is not None:
            raise UnknownModel(
                f"{entry.name} has not been pulled; run: engine-ctl models pull {entry.name}", model=entry.name
            )
        for path in self._files():
            if name_or_path.lower() in (path.name.lower(), path.stem.lower(), model_name(path).lower()):
                return path
        try:
            path = Path(name_or_path).expanduser().absolute()
        except RuntimeError as error:  # "~somebody" who is no user here
            raise self._unknown(name_or_path) from error
        if path.is_file():
            return path
        raise self._unknown(name_or_path)

    def _files(self) -> list[Path]:
        if not self._models_dir.is_dir():
            return []
        found = (path for path in self._models_dir.iterdir() if path.suffix.lower() == ".gguf" and path.is_file())
        return sorted(path for path in found if not is_later_part(path))

    def _unknown(self, name: str) -> UnknownModel:
        known = [entry.name for entry in CATALOGUE]
        known += [model_name(path) for path in self._files() if entry_of_file(path.name) is None]
        return UnknownModel(
            f"no model {name!r}: neither a file nor a name this engine has. It knows {', '.join(known)}; "
            "`engine-ctl models ls` shows which are installed, `engine-ctl models pull NAME` fetches one, "
            "and any path to a GGUF file works",
            model=name,
            known=known,
        )
