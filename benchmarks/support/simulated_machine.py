"""Runs a trace in virtual time: the engine's own policies and step planner over a simple cost model of a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from actors.policies.admission import decide
from actors.policies.candidate import Candidate, Cost
from actors.policies.requester import ENGINE
from benchmarks.support.arrivals import Arrival
from benchmarks.support.outcomes import Outcome
from engine import _core, _core_tests
from engine.batch_key import BatchKey, WeightsKey
from engine.planning.resolve import prefill_beside_decode
from protocol.plan import SchedulerPolicy

WATTS = 20.0
"""Power of the simulated machine while it computes a step."""
_MS = 1_000_000
_BATCH_KEY = BatchKey(
    weights=WeightsKey(content_hash="", quantization="native", backend="cpu_avx512"),
    threads=2,
    spin_us=200,
    prefill_chunk=256,
)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Durations of a step, close to those of SmolLM2-135M on two threads with AVX-512 (docs/performance.md)."""

    weights_ms: float = 3.1
    """Any step: reading the weights, and what a step costs by itself."""
    decode_row_ms: float = 0.4
    prefill_row_ms: float = 0.31
    attended_key_ms: float = 6e-5
    """Milliseconds for each key of each row."""
    weights_bytes: int = 126_500_000
    kv_bytes_a_token: int = 23_040
    macs_a_token: int = 106_000_000

    def step_ms(self, prefill_rows: int, decode_rows: int, attended_keys: float) -> float:
        rows_ms = self.prefill_row_ms * prefill_rows + self.decode_row_ms * decode_rows
        return self.weights_ms + rows_ms + self.attended_key_ms * attended_keys

    def alone_ms(self, arrival: Arrival) -> float:
        """A request by itself: its prompt in chunks, then its other tokens one by one."""
        prompt, answer = arrival.prompt_tokens, arrival.max_tokens
        chunks = -(-prompt // _BATCH_KEY.prefill_chunk)
        prefill = chunks * self.weights_ms + prompt * self.prefill_row_ms + self.attended_key_ms * prompt**2 / 2
        decode = (answer - 1) * (self.step_ms(0, 1, prompt + answer / 2))
        return prefill + decode

    def cost(self, arrival: Arrival) -> Cost:
        return Cost(
            prefill_macs=self.macs_a_token * arrival.prompt_tokens,
            weights_bytes=self.weights_bytes,
            kv_cache_bytes=self.kv_bytes_a_token * (arrival.prompt_tokens + arrival.max_tokens),
        )


@dataclass(slots=True)
class _Sequence:
    index: int
    candidate: Candidate
    admitted_ns: int
    prefill_rank: int
    prefill_share: int
    computed: int = 0
    token_times_ns: list[int] = field(default_factory=list)

    @property
    def prefilling(self) -> bool:
        return self.computed < self.candidate.prompt_tokens

    @property
    def waiting(self) -> int:
        """Tokens without keys and values."""
        return self.candidate.prompt_tokens - self.computed if self.prefilling else 1

    @property
    def context(self) -> int:
        return self.computed + len(self.token_times_ns)

    @property
    def ended(self) -> bool:
        return len(self.token_times_ns) == self.candidate.max_tokens


class SimulatedMachine:
    """One group of one model."""

    def __init__(self, arrivals: Sequence[Arrival], policy: SchedulerPolicy, max_sequences: int) -> None:
        self._model = CostModel()
        self._arrivals = arrivals
        self._coming = [self._candidate(i, policy, max_sequences) for i in range(len(arrivals))]
        self._prefill_beside_decode = prefill_beside_decode(policy, _BATCH_KEY.prefill_chunk)
        self._queued: list[Candidate] = []
        self._running: list[_Sequence] = []
        self._ended: list[_Sequence] = []
        self._now_ns = 0
        self._busy_ns = 0

    def run(self) -> tuple[list[Outcome], float]:
        """Outcomes of the requests, and the joules of all."""
        wake_ns: int | None = 0
        while self._coming or self._queued or self._running:
            arrived, ended = self._take_arrivals(), self._take_ends()
            if arrived or ended or (wake_ns is not None and wake_ns <= self._now_ns):
                wake_ns = self._admit()
            if self._running:
                self._step()
            else:
                moments = [one.queued_ns for one in self._coming[:1]]
                self._now_ns = min(moments if wake_ns is None else [*moments, wake_ns], default=self._now_ns)
        return [self._outcome(one) for one in self._ended], WATTS * self._busy_ns / 1e9

    def _candidate(self, index: int, policy: SchedulerPolicy, max_sequences: int) -> Candidate:
        arrival = self._arrivals[index]
        return Candidate(
            execution_id=str(index), requester=ENGINE, batch_key=_BATCH_KEY, policy=policy, priority=0,
            max_sequences=max_sequences,
            prompt_tokens=arrival.prompt_tokens, max_tokens=arrival.max_tokens, cost=self._model.cost(arrival),
            nominal_watts=WATTS, queued_ns=round(arrival.at_ms * _MS),
        )  # fmt: skip

    def _take_arrivals(self) -> bool:
        arrived = list(takewhile(lambda one: one.queued_ns <= self._now_ns, self._coming))
        del self._coming[: len(arrived)]
        self._queued += arrived
        return bool(arrived)

    def _take_ends(self) -> bool:
        ended = [one for one in self._running if one.ended]
        self._ended += ended
        self._running = [one for one in self._running if not one.ended]
        return bool(ended)

    def _admit(self) -> int | None:
        """Admit what may run; the moment at which to decide again without an event."""
        decision = decide(self._now_ns, self._queued, [one.candidate for one in self._running])
        for admission in decision.admitted:
            candidate = next(one for one in self._queued if one.execution_id == admission.execution_id)
            self._queued.remove(candidate)
            index = int(admission.execution_id)
            self._running.append(
                _Sequence(index, candidate, self._now_ns, admission.prefill_rank, admission.prefill_share)
            )
        return decision.wake_ns

    def _step(self) -> None:
        waiting = [one.waiting for one in self._running]
        tokens = self._plan_step()
        prefill_rows = sum(count for one, count in zip(self._running, tokens, strict=True) if one.prefilling)
        keys = sum(count * (one.context + count / 2) for one, count in zip(self._running, tokens, strict=True))
        step_ns = round(_MS * self._model.step_ms(prefill_rows, sum(tokens) - prefill_rows, keys))
        self._now_ns += step_ns
        self._busy_ns += step_ns
        for one, count, waited in zip(self._running, tokens, waiting, strict=True):
            one.computed += count if one.prefilling else 0
            if count == waited:
                one.token_times_ns.append(self._now_ns)

    def _plan_step(self) -> list[int]:
        candidates = [
            _core_tests.StepCandidate(
                prefilling=one.prefilling,
                waiting=one.waiting,
                prefill_rank=one.prefill_rank,
                prefill_share=one.prefill_share,
                prefill_beside_decode=self._prefill_beside_decode,
            )
            for one in self._running
        ]
        return _core_tests.plan_step(candidates, _core.MAX_DECODE_ROWS, _BATCH_KEY.prefill_chunk)

    def _outcome(self, one: _Sequence) -> Outcome:
        arrival = self._arrivals[one.index]
        times = tuple(time / _MS for time in one.token_times_ns)
        return Outcome(arrival, one.admitted_ns / _MS, times, self._model.alone_ms(arrival))
