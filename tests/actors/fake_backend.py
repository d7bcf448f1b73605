"""A backend without weights: it says what a test tells it to, through a real eventfd."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.backend import BackendStatistics, BackendStopReason, LoadedModel, SequenceEvents
from protocol.errors import EngineError
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport

KV_BYTES = 1000
"""What every sequence is said to hold."""
ORIGIN = WeightsReport(source="file")


@dataclass(frozen=True)
class FakeModel:
    weights_bytes: int = 5000
    kernel_path: str = "fake"
    origin: WeightsReport = ORIGIN


@dataclass
class FakeBackend:
    """With an ``answer`` it speaks at once on every submit; without one, the test speaks through :meth:`emit`."""

    answer: Sequence[str] | None = None
    load_error: EngineError | None = None
    submit_error: EngineError | None = None
    loads: list[ExecutionPlan] = field(default_factory=list)
    prompts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Every sequence ever submitted."""
    prefill_ranks: dict[int, int] = field(default_factory=dict)
    cancelled: list[int] = field(default_factory=list)
    live: set[int] = field(default_factory=set)
    drains: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.may_load = threading.Event()
        self.may_load.set()
        self.loading = threading.Event()
        self._pending: dict[int, SequenceEvents] = {}
        self._begun: set[int] = set()
        self._next_token = 100

    def load(self, plan: ExecutionPlan) -> FakeModel:
        self.loads.append(plan)
        self.loading.set()
        self.may_load.wait()
        if self.load_error is not None:
            raise self.load_error
        return FakeModel()

    def submit(
        self, sequence_id: int, model: LoadedModel, prompt: Sequence[int], plan: ExecutionPlan, prefill_rank: int = 0
    ) -> None:
        if self.submit_error is not None:
            raise self.submit_error
        self.prompts[sequence_id] = tuple(prompt)
        self.prefill_ranks[sequence_id] = prefill_rank
        self.live.add(sequence_id)
        if self.answer is not None:
            told = self.answer[: plan.limits.max_tokens]
            self.emit(sequence_id, *told, stop="eos" if len(told) < plan.limits.max_tokens else "max_tokens")

    def emit(self, sequence_id: int, *texts: str, stop: BackendStopReason | None = None, error: str = "") -> None:
        """One token for each text, then the end if there is a ``stop``. The first call begins the prefill."""
        before = self._pending.get(sequence_id, SequenceEvents(sequence_id))
        if sequence_id not in self._begun:
            self._begun.add(sequence_id)
            before = replace(before, prefill_start_ns=time.monotonic_ns())
        new_ids = tuple(range(self._next_token, self._next_token + len(texts)))
        self._next_token += len(texts)
        self._pending[sequence_id] = replace(
            before,
            token_ids=before.token_ids + new_ids,
            token_times_ns=before.token_times_ns + tuple(time.monotonic_ns() for _ in texts),
            text=before.text + "".join(texts),
            stop_reason=stop,
            error=error,
            logits_digest="d" * 32 if stop else "",
        )
        if stop is not None:
            self.live.discard(sequence_id)
        os.eventfd_write(self.event_fd, 1)

    def cancel(self, sequence_id: int) -> None:
        if sequence_id in self.live:
            self.cancelled.append(sequence_id)
            self.emit(sequence_id, stop="cancelled")

    def drain(self) -> list[SequenceEvents]:
        self.drains += 1
        os.eventfd_read(self.event_fd)
        events, self._pending = list(self._pending.values()), {}
        return events

    def statistics(self) -> BackendStatistics:
        return BackendStatistics(sequences=len(self.live), kv_cache_bytes=KV_BYTES * len(self.live))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.may_load.set()
            os.close(self.event_fd)
