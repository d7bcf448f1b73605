"""Removing models from the models directory, and nothing from anywhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from contextlib import ExitStack
from pathlib import Path

from engine.disk import sync_directory
from engine.file_lock import locked_exclusively
from engine.hub.reference import DIRECTORY
from engine.models import ModelRegistry
from engine.models_directory import ModelFile
from engine.weights_cache import CacheEntry, WeightsCache
from protocol.errors import InvalidRequest, ModelInUse


class ModelRemoval:
    """Of one model: its files, and what has arrived of it. Blocking."""

    def __init__(
        self,
        name: str,
        registry: ModelRegistry,
        cache: WeightsCache,
        is_loaded: Callable[[Path], bool],
        in_use: Container[str],
    ) -> None:
        """``in_use``: paths that executions need.

        Raises:
            UnknownModel, AmbiguousModel: the name means no model that is here, or several.
            InvalidRequest: a file outside the models directory.
            ModelInUse: weights of it are in memory, or an execution waits for them.
        """
        self._registry = registry
        self.model = self._find(name)
        path = self.model.path
        if str(path) in in_use:
            raise ModelInUse(
                f"an execution runs on {self.model.name} or waits to; cancel it, or wait for it", model=self.model.name
            )
        if is_loaded(path):
            raise ModelInUse(
                f"{self.model.name} is loaded (`engine-ctl status`): its weights stay in memory until others need the "
                "room or the engine stops. Stop the engine to remove it now",
                model=self.model.name,
            )
        self.files = tuple(file for file in (*self.model.parts, *self.model.partials) if file.is_file())
        self.freed_bytes = sum(map(_freed, self.files))
        self.derived = self._derived(cache)

    def carry_out(self) -> None:
        """Raises ModelInUse, where it is being fetched; OSError."""
        with ExitStack() as locks:
            if not all(locks.enter_context(locked_exclusively(partial)) for partial in self.model.partials):
                raise ModelInUse(f"{self.model.name} is being fetched", model=self.model.name)
            self._registry.forget(self.model.path)
            for file in self.files:  # the first part first: without it there is no model
                file.unlink(missing_ok=True)
        self._remove_empty_directories()

    def _find(self, name: str) -> ModelFile:
        directory = self._registry.directory
        among = (*directory.models(), *directory.unfinished())
        path = Path(name)
        model = next((one for one in among if one.path == path), None) or directory.find(name, among)
        if model is not None:
            return model
        raise InvalidRequest(
            f"{self._registry.find(name).path} is not in the models directory {directory.path}, the only place where "
            "the engine removes models",
            field="model",
        )

    def _derived(self, cache: WeightsCache) -> tuple[CacheEntry, ...]:
        """Weights made of the model; where its content was never hashed, those made of one of its name."""
        content_hash = self._registry.hashes.known(*self.model.parts) if self.model.path.is_file() else None
        return tuple(
            entry
            for entry in cache.entries()
            if (entry.model == self.model.name if content_hash is None else entry.key.content_hash == content_hash)
        )

    def _remove_empty_directories(self) -> None:
        root = self._registry.directory.path / DIRECTORY
        directory = self.model.path.parent
        while directory.is_relative_to(root) and not any(directory.iterdir()):
            directory.rmdir()
            directory = directory.parent
        sync_directory(directory)


def _freed(path: Path) -> int:
    """Bytes that the disk gets back: none of a link to what lies elsewhere too."""
    status = os.lstat(path)
    return status.st_size if status.st_nlink == 1 and not path.is_symlink() else 0
