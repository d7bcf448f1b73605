"""A backend without weights: it says what a test tells it to, through a real eventfd."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.backend import (
    MAX_PREFILL_SHARE,
    BackendStatistics,
    BackendStopReason,
    ComputeTime,
    ComputeTimes,
    LoadedModel,
    SequenceEvents,
    TokenStream,
    WorkDone,
)
from engine.planned_execution import PlannedExecution
from protocol.errors import EngineError, ExecutionCancelled
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.plan import ExecutionPlan
from protocol.progress import StageProgress
from protocol.record import WeightsReport
from protocol.summaries import PrefixCacheReport, ResidentModel

KV_BYTES = 1000
"""What every sequence is said to hold."""
ORIGIN = WeightsReport(source="file")


@dataclass(frozen=True)
class FakeModel:
    name: str
    weights_bytes: int = 5000
    kernel_path: str = "fake"
    origin: WeightsReport = ORIGIN

    def buffers_bytes(self, plan: ExecutionPlan) -> int:
        return 300


class FakeLoad:
    """Ends when the backend may load, or when it is cancelled."""

    def __init__(self, backend: FakeBackend, planned: PlannedExecution) -> None:
        self._backend = backend
        self._plan = planned.plan
        self._cancelled = threading.Event()

    def run(self) -> FakeModel:
        self._backend.loads.append(self._plan)
        self._backend.loading.set()
        while not self._backend.may_load.wait(0.001):
            if self._cancelled.is_set():
                self._backend.cancelled_loads += 1
                raise ExecutionCancelled("the load was cancelled")
        if self._backend.load_error is not None:
            raise self._backend.load_error
        model = FakeModel(self._plan.model_ref.name)
        self._backend.held[model.name] = model
        self._backend.holds += 1
        return model

    def progress(self) -> StageProgress | None:
        return self._backend.load_progress

    def cancel(self) -> None:
        self._cancelled.set()


@dataclass
class FakeBackend:
    """A backend that gives ``answer`` at once on every submit or, without one, what the test passes to :meth:`emit`."""

    answer: Sequence[str] | None = None
    load_error: EngineError | None = None
    load_progress: StageProgress | None = None
    submit_errors: list[EngineError] = field(default_factory=list)
    """What the next submits are refused with."""
    held: dict[str, FakeModel] = field(default_factory=dict)
    holds: int = 0
    """Number of models that are held and not released."""
    cancelled_loads: int = 0
    loads: list[ExecutionPlan] = field(default_factory=list)
    prompts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Every sequence ever submitted."""
    prefill_ranks: dict[int, int] = field(default_factory=dict)
    prefill_shares: dict[int, int] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    drains: int = 0
    closed: bool = False
    compute_times: dict[int, ComputeTime] = field(default_factory=dict)
    """What sequences are said to have had of the run loop; all of it where nothing is said."""

    def __post_init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.may_load = threading.Event()
        self.may_load.set()
        self.loading = threading.Event()
        self._pending: dict[tuple[int, int], SequenceEvents] = {}
        self._open: dict[int, set[int]] = {}
        """Choices that have not ended, by sequence."""
        self._alternatives: dict[int, int | None] = {}
        """Tokens beside the one drawn whose log probabilities are given, by sequence; ``None``: of no token."""
        self._begun: set[int] = set()
        self._next_token = 100

    def loaded(self, plan: ExecutionPlan) -> FakeModel | None:
        model = self.held.get(plan.model_ref.name)
        self.holds += model is not None
        return model

    def load(self, planned: PlannedExecution) -> FakeLoad:
        return FakeLoad(self, planned)

    def release(self, model: LoadedModel) -> None:
        self.holds -= 1

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
        if self.submit_errors:
            raise self.submit_errors.pop(0)
        plan = planned.plan
        self.prompts[sequence_id] = planned.prompt_token_ids
        self.prefill_ranks[sequence_id] = prefill_rank
        self.prefill_shares[sequence_id] = prefill_share
        self.live.add(sequence_id)
        self._open[sequence_id] = set(range(plan.n))
        self._alternatives[sequence_id] = plan.logprobs
        if self.answer is not None:
            told = self.answer[: plan.limits.max_tokens]
            stop: BackendStopReason = "eos" if len(told) < plan.limits.max_tokens else "max_tokens"
            for choice in range(plan.n):
                self.emit(sequence_id, *told, choice=choice, stop=stop)

    def emit(
        self,
        sequence_id: int,
        *texts: str,
        choice: int = 0,
        stop: BackendStopReason | None = None,
        error: str = "",
    ) -> None:
        """One token for each text, then the choice's end if there is a ``stop``. The first call begins the prefill."""
        before = self._pending.get((sequence_id, choice), SequenceEvents(sequence_id, choice))
        if sequence_id not in self._begun:
            self._begun.add(sequence_id)
            before = replace(before, prefill_start_ns=time.monotonic_ns(), cached_prompt_tokens=0)
        new_ids = tuple(range(self._next_token, self._next_token + len(texts)))
        self._next_token += len(texts)
        self._pending[sequence_id, choice] = replace(
            before,
            token_ids=before.token_ids + new_ids,
            token_times_ns=before.token_times_ns + tuple(time.monotonic_ns() for _ in texts),
            logprobs=before.logprobs + _logprobs(new_ids, self._alternatives.get(sequence_id)),
            text=before.text + "".join(texts),
            stop_reason=stop,
            error=error,
            logits_digest="d" * 32 if stop else "",
            kv_cache_bytes=KV_BYTES if stop else None,
            compute_time=self.compute_times.get(sequence_id, ComputeTime(1000, 1000)) if stop else None,
        )
        if stop is not None:
            self._open[sequence_id].discard(choice)
            if not self._open[sequence_id]:
                self.live.discard(sequence_id)
        os.eventfd_write(self.event_fd, 1)

    def cancel(self, sequence_id: int) -> None:
        if sequence_id in self.live:
            self.cancelled.append(sequence_id)
            for choice in tuple(self._open[sequence_id]):
                self.emit(sequence_id, choice=choice, stop="cancelled")

    @property
    def pending(self) -> bool:
        """Whether something said has not been drained."""
        return bool(self._pending)

    def pause(self, sequence_id: int) -> None:
        self.paused.add(sequence_id)

    def resume(self, sequence_id: int) -> None:
        self.paused.discard(sequence_id)

    def drain(self) -> list[SequenceEvents]:
        self.drains += 1
        os.eventfd_read(self.event_fd)
        events, self._pending = list(self._pending.values()), {}
        return events

    def clear_prefix_cache(self) -> None:
        """There is none."""

    def statistics(self) -> BackendStatistics:
        models = tuple(
            ResidentModel(
                model=model.name, quantization="native", backend="reference", weights_bytes=5000, in_use=bool(self.live)
            )
            for model in self.held.values()
        )
        return BackendStatistics(
            sequences=len(self.live),
            kv_cache_bytes=KV_BYTES * len(self.live),
            prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
            work=WorkDone(steps=7, prefill_rows=30, decode_rows=4, busy_ns=1_500_000_000),
            models=models,
        )

    def times_so_far(self) -> ComputeTimes[int]:
        return ComputeTimes(0, {})

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.may_load.set()
            os.close(self.event_fd)


def _logprobs(token_ids: Sequence[int], alternatives: int | None) -> tuple[DrawnLogprobs, ...]:
    """The token drawn is the likeliest, and those with higher ids come next."""
    if alternatives is None:
        return ()
    return tuple(
        DrawnLogprobs(
            token_id=drawn,
            logprob=-1.0,
            top=tuple(TokenLogprob(token_id=drawn + rank, logprob=-1.0 - rank) for rank in range(alternatives)),
        )
        for drawn in token_ids
    )
