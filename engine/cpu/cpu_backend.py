"""The real backend: plans go to the C++ run loop, events come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import cast

from engine import _core
from engine.backend import (
    MAX_PREFILL_SHARE,
    BackendStatistics,
    BackendStopReason,
    ComputeTime,
    ComputeTimes,
    LoadedModel,
    NonFinitePlace,
    SequenceEvents,
    TokenStream,
    WorkDone,
)
from engine.batch_key import BatchKey, WeightsKey
from engine.cpu.loaded_model import CpuLoadedModel
from engine.cpu.model_load import ModelLoad
from engine.cpu.model_memory import ModelMemory
from engine.cpu.run_loop_memory import RunLoopMemory
from engine.host.available_memory import available_memory
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.speculation_options import speculation_options
from engine.weights.derived_weights import DerivedWeights
from engine.weights.weights_cache import WeightsCache
from protocol.errors import InternalError, InvalidPlan, OutOfMemoryBudget
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.plan import ExecutionPlan
from protocol.sampling import PlanSampling
from protocol.summaries import PlanEstimate, PrefixCacheReport


class CpuBackend:
    """Implements :class:`engine.backend.Backend`; the plan's ``backend`` names the kernel table."""

    def __init__(
        self,
        registry: ModelRegistry,
        cache: WeightsCache,
        available_memory: Callable[[], int | None] = available_memory,
        memory_limit_bytes: int | None = None,
        prefix_cache_bytes: int = 0,
    ) -> None:
        """``memory_limit_bytes``: for all models and sequences together; ``None`` leaves it to what is available.
        ``prefix_cache_bytes``: most of it that sequences which have ended may leave to later ones."""
        self._registry = registry
        self._derived = DerivedWeights(cache)
        self._prefix_cache_bytes = prefix_cache_bytes
        self._run_loop = _core.RunLoop(prefix_cache_bytes)
        self._stream_writer = _core.StreamWriter(self._run_loop)
        self._memory = ModelMemory(memory_limit_bytes, available_memory, RunLoopMemory(self._run_loop))
        self._loading = Lock()
        self._reservations = count(1)
        self._open_choices: dict[int, int] = {}
        """How many choices of each sequence have not ended."""

    @property
    def event_fd(self) -> int:
        """An eventfd that is readable while there are events to drain."""
        return self._stream_writer.event_fd

    def loaded(self, plan: ExecutionPlan) -> CpuLoadedModel | None:
        """See :meth:`Backend.loaded`."""
        model = self._held(plan)
        if model is None or plan.grammar is None:
            return model
        grammar = model.grammars.find(plan.grammar)
        if grammar is None:
            self._memory.release(model)
            return None
        return model.following(grammar)

    def _held(self, plan: ExecutionPlan) -> CpuLoadedModel | None:
        model, draft = self._memory.hold(WeightsKey.of(plan)), WeightsKey.of_draft(plan)
        if model is None or draft is None:
            return model
        guessing = self._memory.hold(draft)
        if guessing is None:
            self._memory.release(model)
            return None
        return model.guessed_by(guessing)

    def load(self, planned: PlannedExecution) -> ModelLoad:
        """See :meth:`Backend.load`."""
        return ModelLoad(planned, self._registry, self._derived, self._memory, self._loading)

    def release(self, model: LoadedModel) -> None:
        """See :meth:`Backend.release`."""
        self._memory.release(_own(model))

    @contextmanager
    def reserved(self, model: CpuLoadedModel, needed: PlanEstimate) -> Iterator[None]:
        """Take what is needed beside its weights, for other work on a model that is held. Raises OutOfMemoryBudget."""
        reservation = -next(self._reservations)
        self._memory.claim(reservation, model, needed)
        try:
            yield
        finally:
            self._memory.end(reservation)

    def submit(
        self,
        sequence_id: int,
        model: LoadedModel,
        planned: PlannedExecution,
        *,
        prefill_rank: int = 0,
        prefill_share: int = MAX_PREFILL_SHARE,
        stream: TokenStream | None = None,
    ) -> None:
        """Start a sequence.

        Raises:
            OutOfMemoryBudget: no memory left for its KV cache.
            InvalidPlan: the run loop refuses the plan's numbers.
            InternalError: the model is another backend's, or held for a plan of another grammar or draft model.
        """
        model, plan = _own(model), planned.plan
        if (model.grammar is None) != (plan.grammar is None):
            raise InternalError("the model is not held for the plan's grammar")
        if (None if model.draft is None else model.draft.key) != WeightsKey.of_draft(plan):
            raise InternalError("the model is not held with the one that guesses for the plan")
        self._memory.claim(sequence_id, model, planned.estimate)
        self._open_choices[sequence_id] = plan.n
        if stream is not None and _is_plain(plan):
            self._stream_writer.open(
                *(sequence_id, stream.socket),
                request_id=stream.request_id,
                execution_id=stream.execution_id,
                choices=plan.n,
            )
        try:
            self._submit(sequence_id, model, planned, prefill_rank, prefill_share)
        except MemoryError as error:
            self._stream_writer.forget(sequence_id)
            self._end(sequence_id)
            raise OutOfMemoryBudget("no memory left for the KV cache of this execution") from error
        except ValueError as error:
            self._stream_writer.forget(sequence_id)
            self._end(sequence_id)
            raise InvalidPlan(f"the run loop refuses the plan: {error}") from error

    def _submit(
        self,
        sequence_id: int,
        model: CpuLoadedModel,
        planned: PlannedExecution,
        prefill_rank: int,
        prefill_share: int,
    ) -> None:
        plan = planned.plan
        batch = BatchKey.of(plan)
        settings = _core.GroupSettings(
            model.model, threads=batch.threads, spin_us=batch.spin_us, prefill_chunk=batch.prefill_chunk
        )
        options = _core.SequenceOptions(
            kv_cache=plan.kv_cache,
            context_length=plan.batch.context_length,
            max_tokens=plan.limits.max_tokens,
            sampling=_sampling_options(plan.sampling),
            logprobs=plan.logprobs,
            choices=plan.n,
            speculation=speculation_options(plan.speculation, None if model.draft is None else model.draft.model),
            eos_token_ids=plan.stop.eos_token_ids,
            stop_strings=plan.stop.strings,
            stop_string_token_ids=plan.stop.string_token_ids,
            stop_token_ids=plan.stop.token_ids,
            flush_ms=plan.stream.flush_ms,
            prefill_rank=prefill_rank,
            prefill_share=prefill_share,
            prefill_beside_decode=plan.batch.prefill_beside_decode,
            prefix_cache=plan.prefix_cache == "on",
            op_times=plan.op_times,
            grammar=model.grammar,
            thinking=_thinking(plan),
            spelled={token.token_id: token.text for token in plan.spelled_tokens},
        )
        self._run_loop.submit(sequence_id, settings, planned.prompt_token_ids, model.vocabulary, options)

    def cancel(self, sequence_id: int) -> None:
        """See :meth:`Backend.cancel`."""
        self._run_loop.cancel(sequence_id)

    def pause(self, sequence_id: int) -> None:
        """See :meth:`Backend.pause`."""
        self._run_loop.pause(sequence_id)

    def resume(self, sequence_id: int) -> None:
        """See :meth:`Backend.resume`."""
        self._run_loop.resume(sequence_id)

    def drain(self) -> list[SequenceEvents]:
        """See :meth:`Backend.drain`."""
        drained = self._stream_writer.drain()
        for events in drained:
            if events.stop_reason is not None:
                self._end_choice(events.sequence_id)
        return [
            SequenceEvents(
                sequence_id=events.sequence_id,
                choice=events.choice,
                prefill_start_ns=events.prefill_start_ns,
                cached_prompt_tokens=events.cached_prompt_tokens,
                token_ids=tuple(events.token_ids),
                token_times_ns=tuple(events.token_times_ns),
                logprobs=_logprobs(events),
                text=events.text,
                sent_tokens=events.sent_tokens,
                sent_characters=events.sent_characters,
                stop_reason=cast("BackendStopReason | None", events.stop_reason),
                error=events.error,
                non_finite=_place(events.non_finite),
                logits_digest=events.logits_digest,
                drafted_tokens=events.drafted_tokens,
                accepted_tokens=events.accepted_tokens,
                draft_ns=events.draft_ns,
                compute_time=_compute_time(events),
                kv_cache_bytes=None if events.stop_reason is None else events.kv_cache_bytes,
            )
            for events in drained
        ]

    def _end_choice(self, sequence_id: int) -> None:
        self._open_choices[sequence_id] -= 1
        if not self._open_choices[sequence_id]:
            self._end(sequence_id)

    def _end(self, sequence_id: int) -> None:
        del self._open_choices[sequence_id]
        self._memory.end(sequence_id)

    def clear_prefix_cache(self) -> None:
        """See :meth:`Backend.clear_prefix_cache`."""
        self._run_loop.clear_prefixes()

    def uses_weights(self, path: Path) -> bool:
        """Whether weights of the model at ``path`` are in use."""
        return self._memory.uses(path)

    def let_weights_go(self, path: Path) -> bool:
        """Evict the weights of the model at ``path``; ``False`` where some are in use. May block for a step."""
        return self._memory.let_go(path)

    def let_unused_weights_go(self) -> None:
        """Evict idle weights that nothing has used since the last call. May block for a step."""
        self._memory.let_unused_go()

    def statistics(self) -> BackendStatistics:
        """See :meth:`Backend.statistics`."""
        statistics = self._run_loop.statistics()
        return BackendStatistics(
            sequences=statistics["sequences"],
            kv_cache_bytes=statistics["kv_cache_bytes"],
            prefix_cache=PrefixCacheReport(
                blocks=statistics["prefix_cache_blocks"],
                size_bytes=statistics["prefix_cache_bytes"],
                limit_bytes=self._prefix_cache_bytes,
            ),
            work=WorkDone(**{name: statistics[name] for name in ("steps", "prefill_rows", "decode_rows", "busy_ns")}),
            models=self._memory.contents(),
        )

    def times_so_far(self) -> ComputeTimes[int]:
        """See :meth:`Backend.times_so_far`."""
        busy_ns, sequences = self._run_loop.compute_times()
        return ComputeTimes(busy_ns, {sequence_id: ComputeTime(*times) for sequence_id, times in sequences.items()})

    def close(self) -> None:
        """See :meth:`Backend.close`."""
        self._run_loop.close()
        self._stream_writer.close()
        self._memory.close()


def _sampling_options(sampling: PlanSampling) -> _core.SamplingOptions:
    fields = dict(sampling)
    del fields["dry_breakers"]  # for people: the kernel knows their tokens
    fields["dry_breakers"] = fields.pop("dry_breaker_token_ids")
    fields["logit_bias"] = {bias.token_id: bias.bias for bias in sampling.logit_bias}
    return _core.SamplingOptions(**fields)


def _thinking(plan: ExecutionPlan) -> _core.ThinkingOptions | None:
    """``None`` where nothing is held: neither a bound, nor a grammar of what comes behind it."""
    asked = plan.reasoning
    if asked is None or asked.end_token_id is None:
        return None
    if asked.max_tokens is None and (plan.grammar is None or not asked.opened):
        return None
    return _core.ThinkingOptions(
        begin=asked.begin_token_id, end=asked.end_token_id, limit=asked.max_tokens, opened=asked.opened
    )


def _logprobs(events: _core.SequenceEvents) -> tuple[DrawnLogprobs, ...]:
    if not events.logprobs:
        return ()
    return tuple(
        DrawnLogprobs(
            token_id=token_id,
            logprob=logprob,
            top=tuple(TokenLogprob(token_id=each, logprob=value) for each, value in top),
        )
        for token_id, (logprob, top) in zip(events.token_ids, events.logprobs, strict=True)
    )


def _place(place: _core.NonFinitePlace | None) -> NonFinitePlace | None:
    return None if place is None else NonFinitePlace(place.part, place.layer, place.position)


def _compute_time(events: _core.SequenceEvents) -> ComputeTime | None:
    if not events.compute_ns:
        return None
    return ComputeTime(events.compute_ns, events.busy_ns, events.operation_ns)


def _is_plain(plan: ExecutionPlan) -> bool:
    """Whether a message holds the tokens and their text and nothing that is read from them."""
    return plan.logprobs is None and plan.tools is None and plan.reasoning is None


def _own(model: LoadedModel) -> CpuLoadedModel:
    if not isinstance(model, CpuLoadedModel):
        raise InternalError(f"{type(model).__name__} is not a model of this backend")
    return model
