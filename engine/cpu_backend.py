"""The real backend: plans go to the C++ run loop, events come back."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, cast

from engine import _core
from engine.artifact import ModelFacts
from engine.available_memory import available_memory
from engine.backend import BackendStatistics, BackendStopReason, LoadedModel, SequenceEvents
from engine.derived_weights import DerivedWeights
from engine.models import ModelRegistry
from engine.planning import describe_memory, estimate
from engine.weights_cache import CachedWeights, WeightsCache
from protocol.errors import InternalError, InvalidModel, InvalidPlan, OutOfMemoryBudget, UnsupportedModel
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport

_MIB: Final = 1 << 20
_REFUSED_RESOURCES: Final = (errno.EAGAIN, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class CpuModel:
    """Weights ready for one kernel table, and the vocabulary that turns their ids into text."""

    model: _core.Model
    vocabulary: _core.Vocabulary
    facts: ModelFacts
    origin: WeightsReport

    @property
    def weights_bytes(self) -> int:
        return self.model.weights_bytes

    @property
    def kernel_path(self) -> str:
        return self.model.kernel_path


class CpuBackend:
    """Implements :class:`engine.backend.Backend`; the plan's ``backend`` names the kernel table."""

    def __init__(
        self,
        registry: ModelRegistry,
        cache: WeightsCache,
        available_memory: Callable[[], int | None] = available_memory,
    ) -> None:
        self._registry = registry
        self._derived = DerivedWeights(cache)
        self._available_memory = available_memory
        self._run_loop = _core.RunLoop()
        self._loading = Lock()
        """Loads keep every CPU busy, and each must see what the one before it has taken."""
        self._held: list[CachedWeights] = []
        """What loaded models have mapped: the cache must not remove it."""
        self._promised_kv_bytes: dict[int, int] = {}
        """Of each running sequence: its cache grows as it is filled, and must find the memory then."""

    @property
    def event_fd(self) -> int:
        return self._run_loop.event_fd

    def load(self, plan: ExecutionPlan) -> CpuModel:
        """Make the plan's weights ready. Blocking: call in a worker thread.

        Raises:
            InvalidModel: the file is no well-formed GGUF, or no longer the one the plan was made for.
            UnsupportedModel: it lacks a tensor, or has one of a shape or type that no kernel serves.
            OutOfMemoryBudget: the machine has not that much memory left for weights, cache and activations. Nothing was
                allocated.
            CacheFull: no room to keep derived weights, and too little memory to make them there.
        """
        path = plan.model_ref.path
        artifact = self._registry.resolve(path)
        if artifact.content_hash != plan.model_ref.content_hash:
            raise InvalidModel(f"{path} has changed since the plan was made; ask again", path=path)
        facts = artifact.facts(plan.quantization)
        needed = estimate(plan, facts, 0)
        with self._loading:
            self._require_memory(needed.total_bytes, f"the run needs {describe_memory(needed)}")

            def require_beside_the_run(size: int, sentence: str) -> None:
                self._require_memory(needed.total_bytes + size, sentence)

            with self._derived.of(plan, artifact, require_beside_the_run) as weights:
                model = _load_weights(plan, weights.path)
                if weights.held is not None:
                    self._held.append(weights.held)
            return CpuModel(model, artifact.tokenizer.vocabulary, facts, weights.report)

    def submit(
        self, sequence_id: int, model: LoadedModel, prompt: Sequence[int], plan: ExecutionPlan, prefill_rank: int = 0
    ) -> None:
        """Start a sequence.

        Raises:
            OutOfMemoryBudget: no memory left for its KV cache.
            InvalidPlan: the run loop refuses the plan's numbers.
            InternalError: the model is another backend's.
        """
        if not isinstance(model, CpuModel):
            raise InternalError(f"{type(model).__name__} is not a model of this backend")
        needed = estimate(plan, model.facts, len(prompt))
        promised = max(0, sum(self._promised_kv_bytes.values()) - self._run_loop.statistics()["kv_cache_bytes"])
        self._require_memory(
            needed.kv_cache_bytes + needed.activation_bytes + promised,
            f"this run may need {_mib(needed.kv_cache_bytes)} MiB of KV cache and {_mib(needed.activation_bytes)} of "
            f"activations, and the runs before it {_mib(promised)} more",
        )
        sampling = plan.sampling
        try:
            self._run_loop.submit(
                sequence_id,
                model.model,
                prompt,
                kv_cache=plan.kv_cache,
                threads=plan.threads,
                spin_us=plan.spin_us,
                prefill_chunk=plan.batch.prefill_chunk,
                context_length=plan.batch.context_length,
                max_tokens=plan.limits.max_tokens,
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                repeat_penalty=sampling.repeat_penalty,
                repeat_last_n=sampling.repeat_last_n,
                seed=sampling.seed,
                eos_token_ids=plan.stop.eos_token_ids,
                stop_strings=plan.stop.strings,
                vocabulary=model.vocabulary,
                flush_ms=plan.stream.flush_ms,
                prefill_rank=prefill_rank,
                prefill_beside_decode=plan.batch.prefill_beside_decode,
            )
        except MemoryError as error:
            raise OutOfMemoryBudget("no memory left for the KV cache of this execution") from error
        except ValueError as error:
            raise InvalidPlan(f"the run loop refuses the plan: {error}") from error
        self._promised_kv_bytes[sequence_id] = needed.kv_cache_bytes

    def cancel(self, sequence_id: int) -> None:
        self._run_loop.cancel(sequence_id)

    def drain(self) -> list[SequenceEvents]:
        drained = self._run_loop.drain()
        for events in drained:
            if events.stop_reason is not None:
                self._promised_kv_bytes.pop(events.sequence_id, None)
        return [
            SequenceEvents(
                sequence_id=events.sequence_id,
                prefill_start_ns=events.prefill_start_ns,
                token_ids=tuple(events.token_ids),
                token_times_ns=tuple(events.token_times_ns),
                text=events.text,
                stop_reason=cast("BackendStopReason | None", events.stop_reason),
                error=events.error,
                logits_digest=events.logits_digest,
            )
            for events in drained
        ]

    def statistics(self) -> BackendStatistics:
        statistics = self._run_loop.statistics()
        return BackendStatistics(sequences=statistics["sequences"], kv_cache_bytes=statistics["kv_cache_bytes"])

    def close(self) -> None:
        self._run_loop.close()
        for weights in self._held:
            weights.close()

    def _require_memory(self, needed_bytes: int, sentence: str) -> None:
        available = self._available_memory()
        if available is not None and needed_bytes > available:
            raise OutOfMemoryBudget(
                f"{sentence}, and {available // _MIB} MiB are available",
                needed_mb=_mib(needed_bytes),
                available_mb=available // _MIB,
            )


def _load_weights(plan: ExecutionPlan, path: str) -> _core.Model:
    try:
        return _core.Model.load(path, plan.backend, plan.threads)
    except OSError as error:
        if error.errno in _REFUSED_RESOURCES:
            raise OutOfMemoryBudget(f"the system refuses threads to load {path}: {error}", path=path) from error
        raise InvalidModel(f"{path} cannot be loaded: {error}", path=path) from error
    except _core.GgufError as error:
        raise InvalidModel(f"{path} cannot be loaded: {error}", path=path) from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{path} cannot be run: {error}", path=path) from error
    except MemoryError as error:
        raise OutOfMemoryBudget(f"no memory left for the weights of {path}", path=path) from error


def _mib(size: int) -> int:
    return -(-size // _MIB)
