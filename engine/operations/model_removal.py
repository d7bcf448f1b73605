"""Removing models from the models directory, and nothing from anywhere else."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from engine.fetch.hub.reference import DIRECTORY
from engine.host.file_lock import locked_exclusively
from engine.models.models_directory import ModelFile
from engine.models.registry import ModelRegistry
from engine.weights.weights_cache import CacheEntry, WeightsCache
from protocol.errors import InvalidRequest, ModelInUse
from protocol.whole_file import sync_directory


class WeightsInMemory(Protocol):
    """Loaded weights of every quantization of a model, by the path of its first file. Thread-safe."""

    def uses_weights(self, path: Path) -> bool:
        """Whether weights of the model at ``path`` are in use."""

    def let_weights_go(self, path: Path) -> bool:
        """All that are idle, or ``False`` and none, where some are in use. May block for a step of the run loop."""


class ModelRemoval:
    """The removal of one model's files, and of what has arrived of it. Blocking."""

    def __init__(
        self,
        name: str,
        registry: ModelRegistry,
        cache: WeightsCache,
        weights: WeightsInMemory,
        executions: Mapping[str, Collection[str]],
    ) -> None:
        """``executions``: which need a model, by its path.

        Raises:
            UnknownModel, AmbiguousModel: the name means no model that is here, or several.
            InvalidRequest: a file outside the models directory.
            ModelInUse: weights of it are in use, or an execution waits for them.
        """
        self._registry = registry
        self._weights = weights
        self.model = self._find(name)
        needing = tuple(executions.get(str(self.model.path), ()))
        if needing:
            raise ModelInUse(
                f"executions run on {self.model.name} or wait to: {', '.join(needing)}; cancel them, or wait for them",
                model=self.model.name,
                executions=list(needing),
            )
        if weights.uses_weights(self.model.path):
            raise weights_in_use(self.model.name)
        self.files = tuple(file for file in (*self.model.parts, *self.model.partials) if file.is_file())
        self.freed_bytes = sum(map(_freed, self.files))
        self.derived = self._derived(cache)

    def carry_out(self) -> None:
        """Weights of it that are idle leave memory first.

        Raises:
            ModelInUse: it is being fetched, or its weights have come into use.
            OSError
        """
        with ExitStack() as locks:
            if not all(locks.enter_context(locked_exclusively(partial)) for partial in self.model.partials):
                raise ModelInUse(f"{self.model.name} is being fetched", model=self.model.name)
            if not self._weights.let_weights_go(self.model.path):
                raise weights_in_use(self.model.name)
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
        try:
            content_hash = self._registry.hashes.known(*self.model.parts)
        except FileNotFoundError:  # not all of it is here
            content_hash = None
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


def weights_in_use(model: str) -> ModelInUse:
    """The error of a model whose weights cannot leave memory."""
    return ModelInUse(f"the weights of {model} are in use; wait for what uses them", model=model)


def _freed(path: Path) -> int:
    """Bytes that the disk gets back: none of a link to what lies elsewhere too."""
    status = os.lstat(path)
    return status.st_size if status.st_nlink == 1 and not path.is_symlink() else 0
