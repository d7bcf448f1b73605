"""The engine's one memory budget: weights, KV caches and the buffers of steps.

Weights stay when nobody uses them, so that the next execution finds them. When room is needed, idle ones go, the one
used longest ago first, and no more of them than needed; what is in use never goes. See docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from threading import Lock

from engine.cpu_model import CpuModel, ModelKey
from engine.planning import describe_memory
from protocol.answers import PlanEstimate, ResidentModel
from protocol.errors import OutOfMemoryBudget

_MIB = 1 << 20


@dataclass(slots=True)
class _Resident:
    model: CpuModel
    users: int
    """Holds and sequences."""
    used: int
    """Greater than that of every other used before it."""


@dataclass(frozen=True, slots=True)
class _Claim:
    model: CpuModel
    kv_cache_bytes: int
    activation_bytes: int
    """Shared by the sequences of one model: the largest counts."""


class ModelMemory:
    """Thread-safe."""

    def __init__(
        self,
        limit_bytes: int | None,
        available: Callable[[], int | None],
        kv_cache_filled: Callable[[], int],
        trim: Callable[[], None],
    ) -> None:
        """``limit_bytes`` is for all together; ``None`` leaves it to what the machine has ``available``.

        KV caches grow as they are filled: ``kv_cache_filled`` tells how much of them exists. ``trim`` makes others let
        go of a model that has gone from here; it may block.
        """
        self._limit_bytes = limit_bytes
        self._available = available
        self._kv_cache_filled = kv_cache_filled
        self._trim = trim
        self._lock = Lock()
        self._residents: dict[ModelKey, _Resident] = {}
        self._claims: dict[int, _Claim] = {}
        self._uses = count(1)

    def hold(self, key: ModelKey) -> CpuModel | None:
        """The model, if it is here, now in use until it is released once more."""
        with self._lock:
            resident = self._residents.get(key)
            if resident is None:
                return None
            resident.users += 1
            return resident.model

    def add(self, model: CpuModel) -> None:
        """A model that is not here yet; held once."""
        with self._lock:
            self._residents[model.key] = _Resident(model, users=1, used=next(self._uses))

    def release(self, model: CpuModel) -> None:
        with self._lock:
            self._release(model)

    def claim(self, sequence_id: int, model: CpuModel, needed: PlanEstimate) -> None:
        """Take what a sequence of a model that is held will need, until :meth:`end`.

        Raises:
            OutOfMemoryBudget: there is no room. Nothing is evicted for it: see :meth:`make_room`.
        """
        with self._lock:
            shortage = self._shortage(needed.kv_cache_bytes + needed.activation_bytes)
            if shortage is not None:
                raise self._refusal(f"the run needs {describe_memory(needed)}", *shortage)
            self._claims[sequence_id] = _Claim(model, needed.kv_cache_bytes, needed.activation_bytes)
            self._residents[model.key].users += 1

    def end(self, sequence_id: int) -> None:
        """Without effect for a sequence that claimed nothing, or has ended."""
        with self._lock:
            claim = self._claims.pop(sequence_id, None)
            if claim is not None:
                self._release(claim.model)

    def make_room(self, needed_bytes: int, sentence: str) -> None:
        """Evict idle weights until so much can be taken; none, where all would not do. May block for a step of the run
        loop.

        Raises:
            OutOfMemoryBudget: what is in use leaves no room. The text begins with ``sentence``.
        """
        while True:
            with self._lock:
                shortage = self._shortage(needed_bytes)
                if shortage is None:
                    return
                hopeless = self._shortage(needed_bytes, self._idle_bytes())
                evicted = self._take_idle() if hopeless is None else None
            if evicted is None:
                raise self._refusal(sentence, *(hopeless or shortage))
            _free(evicted)
            del evicted
            self._trim()

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

    def _release(self, model: CpuModel) -> None:
        resident = self._residents.get(model.key)
        if resident is not None:  # not closed meanwhile
            resident.users -= 1
            resident.used = next(self._uses)

    def _take_idle(self) -> CpuModel | None:
        idle = [resident for resident in self._residents.values() if resident.users == 0]
        if not idle:
            return None
        return self._residents.pop(min(idle, key=lambda resident: resident.used).model.key).model

    def _idle_bytes(self) -> int:
        return sum(resident.model.weights_bytes for resident in self._residents.values() if resident.users == 0)

    def _shortage(self, needed_bytes: int, evicted_bytes: int = 0) -> tuple[int, int] | None:
        """(bytes that must be free, bytes that are once so many have been evicted), where the first are more."""
        claimed = sum(claim.kv_cache_bytes for claim in self._claims.values())
        if self._limit_bytes is not None:
            left = self._limit_bytes - self._weights_bytes() - claimed - self._activation_bytes() + evicted_bytes
            if needed_bytes > left:
                return needed_bytes, max(0, left)
        available = self._available()
        unfilled = max(0, claimed - self._kv_cache_filled())
        if available is not None and needed_bytes + unfilled > available + evicted_bytes:
            return needed_bytes + unfilled, available + evicted_bytes
        return None

    def _weights_bytes(self) -> int:
        return sum(resident.model.weights_bytes for resident in self._residents.values())

    def _activation_bytes(self) -> int:
        largest: dict[ModelKey, int] = {}
        for claim in self._claims.values():
            largest[claim.model.key] = max(largest.get(claim.model.key, 0), claim.activation_bytes)
        return sum(largest.values())

    def _refusal(self, sentence: str, needed_bytes: int, available_bytes: int) -> OutOfMemoryBudget:
        return OutOfMemoryBudget(
            f"{sentence}; with what running executions have still to fill that is {-(-needed_bytes // _MIB)} MiB, and "
            f"{available_bytes // _MIB} MiB are available",
            needed_mb=-(-needed_bytes // _MIB),
            available_mb=available_bytes // _MIB,
        )


def _free(model: CpuModel) -> None:
    if model.cached is not None:
        model.cached.close()
