"""Weights in the types a plan asks for: as they are in the file, from the cache, or quantized now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine import _core
from engine.artifact import ModelArtifact
from engine.quantization_errors import quantization_errors
from engine.weights_cache import CachedWeights, WeightsCache, WeightsKey
from protocol.errors import CacheFull, OutOfMemoryBudget
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport

QUANTIZER_VERSION: Final = 1
"""Raised whenever the same model and recipe give other bytes."""
_MIB = 1 << 20

RequireMemory = Callable[[int, str], None]
"""Raises OutOfMemoryBudget where the machine has not so many bytes left; the text begins the sentence."""


@dataclass(slots=True)
class WeightsFile:
    """A GGUF to load from. What holds it must be closed when the weights are no longer used."""

    path: str
    report: WeightsReport
    held: CachedWeights | None = None


class DerivedWeights:
    """Blocking; thread-safe."""

    def __init__(self, cache: WeightsCache) -> None:
        self._cache = cache

    @contextmanager
    def of(self, plan: ExecutionPlan, artifact: ModelArtifact, require_memory: RequireMemory) -> Iterator[WeightsFile]:
        """The plan's weights as a file, there until the end of the context; one in the cache, until it is let go.

        Where the cache has no room the weights are made in memory, if the plan's limit and the machine allow it.

        Raises:
            InvalidModel: a tensor holds what is no number.
            UnsupportedModel: the recipe cannot place a tensor.
            CacheFull: no room in the cache, and too little memory to do without.
            OutOfMemoryBudget: no memory to quantize.
        """
        with self._made(plan, artifact, require_memory) as weights:
            try:
                yield weights
            except BaseException:
                if weights.held is not None:
                    weights.held.close()
                raise

    @contextmanager
    def _made(
        self, plan: ExecutionPlan, artifact: ModelArtifact, require_memory: RequireMemory
    ) -> Iterator[WeightsFile]:
        if plan.quantization == "native":
            yield WeightsFile(str(artifact.path), WeightsReport(source="file"))
            return
        key = WeightsKey(plan.model_ref.content_hash, plan.quantization, None, QUANTIZER_VERSION)
        found, damage = self._find(key)
        if found is not None:
            yield WeightsFile(str(found.path), WeightsReport(source="cache"), found)
            return
        notices: tuple[str, ...] = (f"the cached weights were made anew: {damage}",) if damage else ()
        with quantization_errors(artifact.name):
            quantization = _core.ModelQuantization(
                artifact.gguf, plan.quantization, kernel_table=plan.backend, threads=plan.threads
            )
        try:
            made = self._store(key, artifact, quantization)
        except CacheFull as full:
            notices += (f"the weights were made in memory and not kept: {full.message}",)
            with self._in_memory(plan, artifact, quantization, full, require_memory) as path:
                yield WeightsFile(path, WeightsReport(source="memory", notices=notices))
            return
        yield WeightsFile(str(made.path), WeightsReport(source="quantized", notices=notices), made)

    def _find(self, key: WeightsKey) -> tuple[CachedWeights | None, str]:
        try:
            return self._cache.find(key)
        except OSError as error:
            return None, f"the cache cannot be read: {error}"

    def _store(self, key: WeightsKey, artifact: ModelArtifact, quantization: _core.ModelQuantization) -> CachedWeights:
        def write(path: Path) -> None:
            with path.open("r+b") as file:
                quantization.write(file.fileno(), str(path))

        with quantization_errors(artifact.name):
            try:
                return self._cache.store(key, artifact.name, quantization.file_bytes, write)
            except OSError as error:
                raise CacheFull(
                    f"the cache cannot be written: {error}", directory=str(self._cache.directory)
                ) from error

    @contextmanager
    def _in_memory(
        self,
        plan: ExecutionPlan,
        artifact: ModelArtifact,
        quantization: _core.ModelQuantization,
        full: CacheFull,
        require_memory: RequireMemory,
    ) -> Iterator[str]:
        size = quantization.file_bytes
        limit_mb = plan.limits.memory_mb
        if limit_mb is not None and size > limit_mb * _MIB:
            raise full
        try:
            require_memory(size, f"{full.message}; to make them in memory {-(-size // _MIB)} MiB more are needed")
        except OutOfMemoryBudget as error:
            raise full from error
        descriptor = os.memfd_create(f"{artifact.name}-{plan.quantization}", os.MFD_CLOEXEC)
        try:
            again = _core.ModelQuantization(
                artifact.gguf, plan.quantization, kernel_table=plan.backend, threads=plan.threads
            )
            with quantization_errors(artifact.name):
                try:
                    again.write(descriptor, "memory")
                except OSError as error:
                    raise full from error
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
