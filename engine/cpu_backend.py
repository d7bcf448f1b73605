"""The real backend: plans go to the C++ run loop, events come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from engine import _core
from engine.backend import BackendStatistics, BackendStopReason, LoadedModel, SequenceEvents
from engine.models import ModelRegistry
from protocol.errors import InternalError, InvalidModel, InvalidPlan, OutOfMemoryBudget, UnsupportedModel
from protocol.plan import ExecutionPlan


@dataclass(frozen=True, slots=True)
class CpuModel:
    """Weights ready for one kernel table, and the vocabulary that turns their ids into text."""

    model: _core.Model
    vocabulary: _core.Vocabulary

    @property
    def weights_bytes(self) -> int:
        return self.model.weights_bytes

    @property
    def kernel_path(self) -> str:
        return self.model.kernel_path


class CpuBackend:
    """Implements :class:`engine.backend.Backend`; the plan's ``backend`` names the kernel table."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._run_loop = _core.RunLoop()

    @property
    def event_fd(self) -> int:
        return self._run_loop.event_fd

    def load(self, plan: ExecutionPlan) -> CpuModel:
        """Make the plan's weights ready. Blocking: call in a worker thread.

        Raises:
            InvalidModel: the file is no well-formed GGUF, or no longer the one the plan was made for.
            UnsupportedModel: it lacks a tensor, or has one of a shape or type that no kernel serves.
            OutOfMemoryBudget: the machine has not that much memory left.
        """
        path = plan.model_ref.path
        artifact = self._registry.resolve(path)
        if artifact.content_hash != plan.model_ref.content_hash:
            raise InvalidModel(f"{path} has changed since the plan was made; ask again", path=path)
        try:
            model = _core.Model.load(path, plan.backend, plan.threads)
        except (_core.GgufError, OSError) as error:
            raise InvalidModel(f"{path} cannot be loaded: {error}", path=path) from error
        except _core.UnsupportedModelError as error:
            raise UnsupportedModel(f"{path} cannot be run: {error}", path=path) from error
        except MemoryError as error:
            raise OutOfMemoryBudget(f"no memory left for the weights of {path}", path=path) from error
        return CpuModel(model, artifact.tokenizer.vocabulary)

    def submit(self, sequence_id: int, model: LoadedModel, prompt: Sequence[int], plan: ExecutionPlan) -> None:
        """Start a sequence.

        Raises:
            OutOfMemoryBudget: no memory left for its KV cache.
            InvalidPlan: the run loop refuses the plan's numbers.
            InternalError: the model is another backend's.
        """
        if not isinstance(model, CpuModel):
            raise InternalError(f"{type(model).__name__} is not a model of this backend")
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
            )
        except MemoryError as error:
            raise OutOfMemoryBudget("no memory left for the KV cache of this execution") from error
        except ValueError as error:
            raise InvalidPlan(f"the run loop refuses the plan: {error}") from error

    def cancel(self, sequence_id: int) -> None:
        self._run_loop.cancel(sequence_id)

    def drain(self) -> list[SequenceEvents]:
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
            for events in self._run_loop.drain()
        ]

    def statistics(self) -> BackendStatistics:
        statistics = self._run_loop.statistics()
        return BackendStatistics(sequences=statistics["sequences"], kv_cache_bytes=statistics["kv_cache_bytes"])

    def close(self) -> None:
        self._run_loop.close()
