"""The engine's one memory budget: weights, KV caches, prefixes kept of them, and the buffers of steps.

Weights and prefixes stay when they are no longer used, so that the next execution finds them. When room is needed, idle
prefixes go, then idle weights, the ones used longest ago first, and no more of them than needed; what is in use never
goes. See docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Protocol

from engine.artifact.footprint import describe_memory
from engine.batch_key import WeightsKey
from engine.cpu.loaded_model import CpuLoadedModel
from engine.host.event_log import log_event
from protocol.errors import OutOfMemoryBudget
from protocol.summaries import PlanEstimate, ResidentModel

MAX_IDLE = 16
"""Models kept though nothing uses them: however small, each has a file, maps and threads of its own."""
_MB = 10**6


@dataclass(slots=True)
class _Resident:
    model: CpuLoadedModel
    users: int
    """Holds and sequences."""
    used: int
    """Greater than that of every other used before it."""


@dataclass(frozen=True, slots=True)
class _Claim:
    model: CpuLoadedModel
    kv_cache_bytes: int
    shared_bytes: int
    """Buffers of a step that the sequences of one model, and one that guesses for it, share: the largest counts."""
    own_bytes: int
    """Buffers that every sequence has for itself."""


@dataclass(frozen=True, slots=True)
class LoopUsage:
    """Memory that the run loop has allocated."""

    kv_cache_bytes: int
    """What of their claims sequences have filled."""
    idle_prefix_bytes: int
    """What the prefix cache holds for no sequence, less what it was told to drop."""


class LoopMemory(Protocol):
    """The run loop's side. Thread-safe."""

    def usage(self) -> LoopUsage:
        """What the run loop holds at the moment."""

    def drop_prefixes(self, size_bytes: int) -> None:
        """Drop so much that is idle, before any sequence begins that is submitted later. Returns at once."""

    def trim(self) -> None:
        """Release evicted models and pending prefix-cache drops. May block for one step."""


class ModelMemory:
    """Thread-safe."""

    def __init__(
        self,
        limit_bytes: int | None,
        available: Callable[[], int | None],
        loop: LoopMemory,
    ) -> None:
        """``limit_bytes`` is for all together; ``None`` leaves it to what the machine has ``available``."""
        self._limit_bytes = limit_bytes
        self._available = available
        self._loop = loop
        self._lock = Lock()
        self._residents: dict[WeightsKey, _Resident] = {}
        self._claims: dict[int, _Claim] = {}
        self._uses = count(1)
        self._looked = 0
        """The number of uses at the last look for unused weights."""

    def hold(self, key: WeightsKey) -> CpuLoadedModel | None:
        """The model, if it is here, now in use until it is released once more."""
        with self._lock:
            resident = self._residents.get(key)
            if resident is None:
                return None
            resident.users += 1
            return resident.model

    def add(self, model: CpuLoadedModel) -> None:
        """A model that is not here yet; held once. Idle ones beyond :data:`MAX_IDLE` go. May block for a step."""
        with self._lock:
            self._residents[model.key] = _Resident(model, users=1, used=next(self._uses))
        self.keep_idle(MAX_IDLE)

    def keep_idle(self, most: int) -> None:
        """Evict idle weights, least recently used first, until ``most`` are left. May block for one step."""
        with self._lock:
            idle = sum(resident.users == 0 for resident in self._residents.values())
            evicted = [self._take_idle() for _ in range(idle - most)]
        for model in evicted:
            if model is not None:
                _free(model)
        if evicted:
            del evicted, model
            self._loop.trim()

    def release(self, model: CpuLoadedModel) -> None:
        """Give up a model that was held, with the one that guesses for it; both stay until their memory is needed."""
        with self._lock:
            self._release(model)

    def claim(self, sequence_id: int, model: CpuLoadedModel, needed: PlanEstimate) -> None:
        """Take what a sequence of a model that is held will need, until :meth:`end`.

        Raises:
            OutOfMemoryBudget: there is no room. Idle prefixes go for it, and no weights: see :meth:`make_room`.
        """
        needed_bytes = needed.kv_cache_bytes + needed.activation_bytes
        with self._lock:
            usage = self._loop.usage()
            shortage = self._shortage(needed_bytes, usage, usage.idle_prefix_bytes)
            if shortage is not None:
                raise self._refusal(f"the run needs {describe_memory(needed)}", *shortage)
            if (shortage := self._shortage(needed_bytes, usage)) is not None:
                self._loop.drop_prefixes(_missing(shortage))
            self._claims[sequence_id] = _Claim(
                model,
                needed.kv_cache_bytes,
                shared_bytes=needed.activation_bytes - needed.sequence_bytes,
                own_bytes=needed.sequence_bytes,
            )
            for held in (model, model.draft):
                if held is not None:
                    self._residents[held.key].users += 1

    def end(self, sequence_id: int) -> None:
        """Without effect for a sequence that claimed nothing, or has ended."""
        with self._lock:
            claim = self._claims.pop(sequence_id, None)
            if claim is not None:
                self._release(claim.model)

    def make_room(self, needed_bytes: int, sentence: str) -> None:
        """Evict idle prefixes, then idle weights, until so much can be taken; none, where all would not do. May block
        for a step of the run loop.

        Raises:
            OutOfMemoryBudget: what is in use leaves no room. The text begins with ``sentence``.
        """
        while True:
            with self._lock:
                usage = self._loop.usage()
                shortage = self._shortage(needed_bytes, usage)
                if shortage is None:
                    return
                hopeless = self._shortage(needed_bytes, usage, usage.idle_prefix_bytes + self._idle_bytes())
                if hopeless is not None:
                    raise self._refusal(sentence, *hopeless)
                evicted = None if usage.idle_prefix_bytes else self._take_idle()
                if evicted is None:
                    self._loop.drop_prefixes(_missing(shortage))
            if evicted is not None:
                _free(evicted)
                del evicted
            self._loop.trim()

    def uses(self, path: Path) -> bool:
        """Whether weights of the model at ``path`` are in use."""
        with self._lock:
            return any(resident.users for resident in self._of(path))

    def let_go(self, path: Path) -> bool:
        """Evict the weights of the model at ``path``, whichever are here, all of them or none: ``False`` where some are
        in use. May block for a step of the run loop.
        """
        with self._lock:
            evicted = self._of(path)
            if any(resident.users for resident in evicted):
                return False
            for key in [resident.model.key for resident in evicted]:
                del self._residents[key]
        self._free_all(evicted)
        return True

    def let_unused_go(self) -> None:
        """Evict idle weights that nothing has used since the last call. May block for a step of the run loop."""
        with self._lock:
            unused = [one for one in self._residents.values() if one.users == 0 and one.used <= self._looked]
            self._looked = next(self._uses)
            for key in [one.model.key for one in unused]:
                del self._residents[key]
        self._free_all(unused)

    def contents(self) -> tuple[ResidentModel, ...]:
        """In the order they came."""
        with self._lock:
            return tuple(
                ResidentModel(
                    model=resident.model.name,
                    quantization=resident.model.key.quantization,
                    backend=resident.model.key.backend,
                    weights_bytes=resident.model.weights_bytes,
                    in_use=resident.users > 0,
                )
                for resident in self._residents.values()
            )

    def close(self) -> None:
        """Forget all, in use or not. Idempotent."""
        with self._lock:
            residents, self._residents = list(self._residents.values()), {}
            self._claims.clear()
        for resident in residents:
            _free(resident.model)

    def _free_all(self, evicted: list[_Resident]) -> None:
        """Free what has left the residents; the list is empty then, so that the run loop holds the last of it."""
        if not evicted:
            return
        while evicted:
            _free(evicted.pop().model)
        self._loop.trim()

    def _release(self, model: CpuLoadedModel) -> None:
        if model.draft is not None:
            self._release(model.draft)
        resident = self._residents.get(model.key)
        if resident is not None:  # not closed meanwhile
            resident.users -= 1
            resident.used = next(self._uses)

    def _of(self, path: Path) -> list[_Resident]:
        return [resident for resident in self._residents.values() if resident.model.facts.ref.path == str(path)]

    def _take_idle(self) -> CpuLoadedModel | None:
        idle = [resident for resident in self._residents.values() if resident.users == 0]
        if not idle:
            return None
        return self._residents.pop(min(idle, key=lambda resident: resident.used).model.key).model

    def _idle_bytes(self) -> int:
        return sum(resident.model.weights_bytes for resident in self._residents.values() if resident.users == 0)

    def _shortage(self, needed_bytes: int, usage: LoopUsage, evicted_bytes: int = 0) -> tuple[int, int] | None:
        """(bytes that must be free, bytes free after the eviction) of the bound that is exceeded most: the limit or
        what the machine has. ``None`` if neither is."""
        claimed = sum(claim.kv_cache_bytes for claim in self._claims.values())
        bounds: list[tuple[int, int]] = []
        if self._limit_bytes is not None:
            taken = self._weights_bytes() + claimed + self._activation_bytes() + usage.idle_prefix_bytes
            bounds.append((needed_bytes, self._limit_bytes - taken + evicted_bytes))
        available = self._available()
        if available is not None:
            unfilled = max(0, claimed - usage.kv_cache_bytes)
            bounds.append((needed_bytes + unfilled, available + evicted_bytes))
        tightest = max(bounds, key=_missing, default=None)
        return tightest if tightest is not None and _missing(tightest) > 0 else None

    def _weights_bytes(self) -> int:
        return sum(resident.model.weights_bytes for resident in self._residents.values())

    def _activation_bytes(self) -> int:
        largest: dict[tuple[WeightsKey, WeightsKey | None], int] = {}
        for claim in self._claims.values():
            key = claim.model.key, None if claim.model.draft is None else claim.model.draft.key
            largest[key] = max(largest.get(key, 0), claim.shared_bytes)
        return sum(largest.values()) + sum(claim.own_bytes for claim in self._claims.values())

    def _refusal(self, sentence: str, needed_bytes: int, available_bytes: int) -> OutOfMemoryBudget:
        return OutOfMemoryBudget(
            f"{sentence}; with what running executions have still to fill that is {-(-needed_bytes // _MB)} MB, and "
            f"{max(0, available_bytes) // _MB} MB are available",
            needed_mb=-(-needed_bytes // _MB),
            available_mb=max(0, available_bytes) // _MB,
        )


def _missing(bound: tuple[int, int]) -> int:
    needed_bytes, free_bytes = bound
    return needed_bytes - free_bytes


def _free(model: CpuLoadedModel) -> None:
    log_event("info", "model_evicted", model=model.name, weights_bytes=model.weights_bytes)
    if model.cached is not None:
        model.cached.close()
