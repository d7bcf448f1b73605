"""Finds models by name or path, and fetches those of the catalogue and from elsewhere."""

from __future__ import annotations

import errno
from collections import OrderedDict
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from threading import Lock

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.content_hash import ContentHashes
from engine.config import EngineConfig
from engine.fetch.catalogue import CATALOGUE, entry_named
from engine.fetch.fetch import Fetch, fetch_model
from engine.fetch.hub.known_models import known_model
from engine.fetch.pull_watch import PullWatch
from engine.fetch.reference import parse_reference
from engine.host.changed_file import changed_file
from engine.host.descriptors import FULL_TABLES, no_descriptors
from engine.host.file_memory import file_identity, outwait_tick
from engine.models.models_directory import ModelFile, ModelsDirectory
from engine.operation import turn
from protocol.errors import EngineError, InvalidModel, NotPermitted, OutOfMemoryBudget, UnknownModel, UnsupportedModel

_MAX_OPEN = 16
"""Artifacts kept open, the least recently used dropped first: a tokenizer may take a hundred megabytes."""


class ModelRegistry:
    """Every model a request can name. Methods block; call them in a worker thread. Thread-safe."""

    def __init__(self, config: EngineConfig, fetch: Fetch | None = None) -> None:
        """``fetch``: brings models from elsewhere; this process does it itself if left out."""
        self.directory = ModelsDirectory(config.models_dir)
        self.hashes = ContentHashes(config.cache_dir / "content-hashes.json")
        self._models_only = config.models_only
        self._aliases = config.aliases
        self._open: OrderedDict[Path, ModelArtifact] = OrderedDict()
        self._open_lock = Lock()
        self._pull_lock = Lock()
        self._fetch = fetch or partial(fetch_model, models_dir=config.models_dir, hashes=self.hashes)

    def resolve(self, name_or_path: str) -> ModelArtifact:
        """The artifact of a name that :meth:`find` knows. A file is parsed once for as long as it does not change.

        Raises:
            UnknownModel, AmbiguousModel, InvalidRequest: see :meth:`find`.
            InvalidModel: a file, and not a well-formed GGUF, or one that changes at this moment.
            UnsupportedModel: a GGUF with a tensor of a type this engine lacks.
            OutOfMemoryBudget: no room for its header.
            Overloaded: the engine has as many files open as it may.
        """
        try:
            path = self.find(name_or_path).path
            with self._open_lock:
                artifact = self._open.get(path)
                if artifact is None or file_identity(*artifact.files) != artifact.gguf.identity:
                    artifact = self._parse(path)
                    self._open[path] = artifact
                self._open.move_to_end(path)
                while len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)
        except OSError as error:
            if error.errno in FULL_TABLES:
                raise no_descriptors(name_or_path) from error
            raise InvalidModel(f"{name_or_path} cannot be read: {error}", model=name_or_path) from error
        except _core.ChangedFileError as error:
            raise changed_file(name_or_path) from error
        except _core.GgufError as error:
            raise InvalidModel(f"{name_or_path} is not a well-formed GGUF: {error}", model=name_or_path) from error
        except _core.UnsupportedModelError as error:
            raise UnsupportedModel(f"{name_or_path} cannot be run: {error}", model=name_or_path) from error
        except MemoryError as error:
            raise OutOfMemoryBudget(f"no memory left to open {name_or_path}", model=name_or_path) from error
        return artifact

    def opened(self, name_or_path: str) -> ModelArtifact | None:
        """The artifact of a name where its file is open already and has not changed. Opens nothing, and waits for no
        one who does."""
        try:
            path = self.find(name_or_path).path
            if not self._open_lock.acquire(blocking=False):
                return None
            try:
                artifact = self._open.get(path)
            finally:
                self._open_lock.release()
            unchanged = artifact is not None and file_identity(*artifact.files) == artifact.gguf.identity
        except (EngineError, OSError, ValueError):
            return None
        return artifact if unchanged else None

    def find(self, name_or_path: str) -> ModelFile:
        """The model of a name (the catalogue's, a file's in the models directory with or without ``.gguf``, a
        reference), of an alias for one, or of a path, which has a slash. Names match in any case.

        Raises:
            UnknownModel: nothing of that name, or not pulled yet.
            AmbiguousModel: several models of that short name.
            InvalidRequest: it begins as a reference does, and can mean nothing.
            NotPermitted: a path, where the engine takes names alone.
            OSError: the path cannot be looked at.
        """
        name_or_path = self._aliases.get(name_or_path.lower(), name_or_path)
        entry = entry_named(name_or_path)
        if entry is not None and (pulled := self.directory.path / entry.file_name).is_file():
            return self.directory.model_at(pulled)
        if not name_or_path.startswith("/"):
            model = self.directory.find(name_or_path)
            if model is not None:
                return model
        if entry is not None:
            raise _not_pulled(entry.name)
        reference = parse_reference(name_or_path)
        if reference is not None:
            raise _not_pulled(name_or_path if known_model(name_or_path) else reference.name)
        if "/" not in name_or_path:  # no file of the folder that the engine happens to run in
            raise self._unknown(name_or_path)
        self.require_paths("model", name_or_path)
        path = _file_at(name_or_path)
        if path is None:
            raise self._unknown(name_or_path)
        return self.directory.model_at(path)

    def require_paths(self, field: str, path: str) -> None:
        """Raises NotPermitted: requests may name no files here."""
        if self._models_only:
            raise NotPermitted(
                f"{field} is {path!r}; this engine takes no files from requests (serve --models-only): `engine-ctl "
                "models ls` shows the names it takes",
                permission="paths",
                field=field,
            )

    def has_hash(self, path: str, content_hash: str) -> bool:
        """Whether this is a model's file that was hashed before, to this hash. It is not read: a stranger who names a
        path learns nothing of the file there."""
        try:
            return (
                path.startswith("/") and self.hashes.known(*self.directory.model_at(Path(path)).parts) == content_hash
            )
        except (OSError, ValueError, InvalidModel):
            return False

    def forget(self, path: Path) -> None:
        """Close a file that is to go."""
        with self._open_lock:
            self._open.pop(path, None)

    def pull(self, name: str, watch: PullWatch) -> ModelArtifact:
        """Fetch a model of the catalogue or of a reference, unless it is here already and whole.

        Raises:
            UnknownModel: nobody has it.
            AmbiguousModel, InvalidRequest: a reference that means no single model.
            DownloadFailed: it could not be fetched, checked or stored.
            DiskFull: there is no room for it.
            ExecutionCancelled: the watch was told to cancel.
        """
        with turn(self._pull_lock, watch.check):
            path = self._fetch(name, watch)
        return self.resolve(str(path))

    def _parse(self, path: Path) -> ModelArtifact:
        model = self.directory.model_at(path)
        for part in model.parts:
            outwait_tick(part.stat())
        return ModelArtifact(model.name, path, _core.GgufFile(str(path)), self.hashes)

    def _unknown(self, name: str) -> UnknownModel:
        known = [entry.name for entry in CATALOGUE]
        known += [model.name for model in self.directory.models() if model.source != "catalogue"]
        begun = [each for each in known if each.lower().startswith(name.lower())]
        near = begun[:1] or get_close_matches(name.lower(), [each.lower() for each in known], n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return UnknownModel(
            f"no model {name!r}{meant}: it is neither a file nor a known name. Known: {', '.join(known)}; "
            "`engine-ctl models ls` shows which are installed, `engine-ctl models pull NAME` fetches one, "
            + ("paths are not taken here" if self._models_only else "and any path to a GGUF file works"),
            model=name,
            known=known,
        )


def _file_at(name: str) -> Path | None:
    """The file of a path, ``None`` where there is none or can be none. Raises OSError: it cannot be looked at."""
    try:
        path = Path(name).expanduser().absolute()
        return path if path.is_file() else None
    except (RuntimeError, ValueError):  # "~somebody" who is no user here, or can be none
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


def _not_pulled(name: str) -> UnknownModel:
    return UnknownModel(f"{name} has not been pulled; run: engine-ctl models pull {name}", model=name, pull=name)
