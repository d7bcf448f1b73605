"""Weights in the types a plan asks for: as they are in the file, from the cache, or quantized now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.quantization_errors import quantization_errors
from engine.operation import turn
from engine.weights.quantization_watch import QuantizationWatch
from engine.weights.weights_cache import CachedWeights, DerivedWeightsKey, WeightsCache
from protocol.errors import CacheFull, OutOfMemoryBudget
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport

QUANTIZER_VERSION: Final = 2
"""Raised whenever the same model and recipe give other bytes."""
_MB = 10**6

RequireMemory = Callable[[int, str], None]
"""Raises OutOfMemoryBudget where the machine has fewer bytes left; the text begins the sentence."""


@dataclass(frozen=True, slots=True)
class WantedWeights:
    """The weights that a plan needs, and how to make room for them."""

    plan: ExecutionPlan
    artifact: ModelArtifact
    """The plan's."""
    require_memory: RequireMemory
    watch: QuantizationWatch

    @property
    def key(self) -> DerivedWeightsKey:
        """Their key in the cache."""
        return DerivedWeightsKey(self.plan.model_ref.content_hash, self.plan.quantization, None, QUANTIZER_VERSION)

    def quantization(self) -> _core.ModelQuantization:
        """One that has not run, watched from now on. Raises InvalidModel, UnsupportedModel."""
        with quantization_errors(self.artifact.name):
            prepared = _core.ModelQuantization(
                self.artifact.gguf,
                self.plan.quantization,
                kernel_table=self.plan.backend,
                threads=self.plan.threads,
            )
        self.watch.follow(prepared)
        return prepared


class CachedWeightsChangedError(Exception):
    """An entry of the cache changed after it was checked: another process made it anew, or it was damaged."""


@dataclass(slots=True)
class WeightsFile:
    """A GGUF to load from. What holds it must be closed when the weights are no longer used."""

    path: str
    report: WeightsReport
    parsed: _core.GgufFile | None = None
    held: CachedWeights | None = None

    def open(self) -> _core.GgufFile:
        """In the state whose content is known: the model's by its hash, a cached one by its digest.

        Raises CachedWeightsChangedError (one in the cache is in another state), and what ``_core.GgufFile`` raises.
        """
        file = self.parsed or _core.GgufFile(self.path)
        if self.held is not None and file.identity != self.held.identity:
            raise CachedWeightsChangedError(self.path)
        return file

    def close(self) -> None:
        """Let go of it, where nothing was loaded from it. Idempotent."""
        if self.held is not None:
            self.held.close()


class DerivedWeights:
    """Blocking; thread-safe."""

    def __init__(self, cache: WeightsCache) -> None:
        self._cache = cache
        self._quantizing = Lock()
        """It keeps every CPU busy; and who waited for the same weights finds them made."""

    @contextmanager
    def of(self, wanted: WantedWeights) -> Iterator[WeightsFile]:
        """The plan's weights as a file, there until the end of the context; one in the cache, until it is let go.

        Where the cache has no room the weights are made in memory, if the plan's limit and the machine allow it.

        Raises:
            InvalidModel: a tensor holds NaN; the model's file changed.
            UnsupportedModel: the recipe cannot place a tensor.
            CacheFull: no room in the cache, and too little memory to do without.
            OutOfMemoryBudget: no memory to quantize.
            ExecutionCancelled: the watch was told to cancel.
        """
        with ExitStack() as until_loaded:
            weights = self._made(wanted, until_loaded)
            try:
                yield weights
            except BaseException:
                weights.close()
                raise

    def _made(self, wanted: WantedWeights, until_loaded: ExitStack) -> WeightsFile:
        if wanted.plan.quantization == "native":
            return WeightsFile(str(wanted.artifact.path), WeightsReport(source="file"), wanted.artifact.gguf)
        found, damage = self._find(wanted.key)
        if found is None:
            with turn(self._quantizing, wanted.watch.check):
                return self._found_or_quantized(wanted, damage, until_loaded)
        return WeightsFile(str(found.path), WeightsReport(source="cache"), held=found)

    def _found_or_quantized(self, wanted: WantedWeights, damage: str, until_loaded: ExitStack) -> WeightsFile:
        found, damage_since = self._find(wanted.key)
        if found is not None:
            return WeightsFile(str(found.path), WeightsReport(source="cache"), held=found)
        damage = damage_since or damage
        notices: tuple[str, ...] = (f"the cached weights were made anew: {damage}",) if damage else ()
        try:
            made = self._store(wanted)
        except CacheFull as full:
            notices += (f"the weights were made in memory and not kept: {full.message}",)
            path = until_loaded.enter_context(_in_memory(wanted, full))
            return WeightsFile(path, WeightsReport(source="memory", notices=notices))
        return WeightsFile(str(made.path), WeightsReport(source="quantized", notices=notices), held=made)

    def _find(self, key: DerivedWeightsKey) -> tuple[CachedWeights | None, str]:
        try:
            return self._cache.find(key)
        except OSError as error:
            return None, f"the cache cannot be read: {error}"

    def _store(self, wanted: WantedWeights) -> CachedWeights:
        quantization = wanted.quantization()

        def write(path: Path) -> None:
            with path.open("r+b") as file:
                quantization.write(file.fileno(), str(path))

        with quantization_errors(wanted.artifact.name):
            try:
                return self._cache.store(wanted.key, wanted.artifact.name, quantization.file_bytes, write)
            except OSError as error:
                raise CacheFull(
                    f"the cache cannot be written: {error}", directory=str(self._cache.directory)
                ) from error


@contextmanager
def _in_memory(wanted: WantedWeights, full: CacheFull) -> Iterator[str]:
    """A file in memory, until the end of the context. Raises ``full`` where there is no memory for it either."""
    quantization = wanted.quantization()
    size = quantization.file_bytes
    limit_mb = wanted.plan.limits.memory_mb
    if limit_mb is not None and size > limit_mb * _MB:
        raise full
    try:
        wanted.require_memory(size, f"{full.message}; to make them in memory {-(-size // _MB)} MB more are needed")
    except OutOfMemoryBudget as error:
        raise full from error
    descriptor = os.memfd_create(f"{wanted.artifact.name}-{wanted.plan.quantization}", os.MFD_CLOEXEC)
    try:
        with quantization_errors(wanted.artifact.name):
            try:
                quantization.write(descriptor, "memory")
            except OSError as error:
                raise full from error
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
