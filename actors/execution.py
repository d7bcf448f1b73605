"""The account of one execution, kept by the control plane from its plan to its record. No trio, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from actors.answer_text import NOTHING, answer_text
from actors.choice import Choice
from actors.messages import BeginRecord, Moment, ReadEnergy, Started
from actors.policies.candidate import Candidate, Cost, candidate_of
from actors.policies.requester import Requester
from engine.artifact.non_finite import non_finite_result
from engine.backend import BackendStopReason, ComputeTime, NonFinitePlace, SequenceEvents
from engine.energy.limit_watch import unjudged
from engine.energy.sources.source import EnergyReading
from engine.energy.window import OTHER_WORK
from engine.identity.version import ENGINE_VERSION
from engine.metrics.metrics import compute_metrics
from engine.metrics.phases import Timeline
from engine.metrics.usage_window import NO_STEP, UsageWindow, cpu_report, memory_report
from engine.planned_execution import PlannedExecution
from protocol.answers import Accepted, Failed, Finished, Progress, Tokens
from protocol.build import Build
from protocol.codec import failed
from protocol.errors import EngineError, InternalError, NonFiniteResult
from protocol.events import AcceptedEvent, AdmittedEvent, EndedEvent, StartedEvent
from protocol.metrics import EnergyReport, MemoryReport
from protocol.plan import ExecutionPlan
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord, Hardware, StopReason, UnjudgedLimit, WeightsReport
from protocol.sandbox import Sandbox
from protocol.summaries import ExecutionStatus
from protocol.value import unvalidated

NO_KERNEL = "none"
"""``kernel_path`` of an execution that ended before it reached the backend."""
NO_WEIGHTS = WeightsReport(source="none")
"""And its weights."""
_tokens = unvalidated(Tokens)


@dataclass(slots=True)
class Execution:
    """One execution's plan, state and figures."""

    execution_id: str
    connection_id: int
    request_id: int
    requester: Requester
    received_ns: int
    planned: PlannedExecution
    queued_ns: int
    state: Literal["queued", "loading", "running"] = "queued"
    admitted_ns: int | None = None
    load_start_ns: int | None = None
    load_end_ns: int | None = None
    prefill_start_ns: int | None = None
    cached_prompt_tokens: int | None = None
    kernel_path: str = NO_KERNEL
    weights: WeightsReport = NO_WEIGHTS
    choices: tuple[Choice, ...] = field(init=False)
    energy_start: EnergyReading | None = None
    energy_end: EnergyReading | None = None
    usage: UsageWindow = field(default_factory=UsageWindow)
    weights_bytes: int | None = None
    buffers_bytes: int | None = None
    kv_cache_bytes: int | None = None
    """The most that its sequences held together, once one has ended."""
    unjudged_limits: tuple[UnjudgedLimit, ...] = field(init=False)
    compute_time: ComputeTime | None = None
    disturbed: bool = False
    """Something of this engine that is no execution kept the machine busy while it ran."""
    stop_asked: StopReason | None = None
    """Why it was told to stop; a stop reason of its own that came first still wins."""
    stop_reason: StopReason | None = None
    """Once every choice has ended: the first one's, or ``error`` where any failed."""
    failure: Failed | None = None
    """What the client hears in place of the record, where ``stop_reason`` is ``error``."""
    error: str = ""
    """What went wrong, where ``stop_reason`` is ``error``."""

    def __post_init__(self) -> None:
        self.choices = tuple(
            Choice(index, answer_text(self.plan, self.execution_id, index)) for index in range(self.plan.n)
        )
        self.unjudged_limits = unjudged(self.plan.limits, "the execution ended before it computed anything")

    @property
    def plan(self) -> ExecutionPlan:
        """The plan that is carried out."""
        return self.planned.plan

    @property
    def prompt_tokens(self) -> int:
        """The length of its prompt."""
        return len(self.planned.prompt_token_ids)

    def candidate(self) -> Candidate:
        """Its features that the scheduler decides by."""
        estimate = self.planned.estimate
        cost = Cost(
            prefill_macs=estimate.prefill_macs,
            weights_bytes=estimate.weights_bytes,
            kv_cache_bytes=estimate.kv_cache_bytes,
        )
        return candidate_of(self.execution_id, self.requester, self.plan, self.prompt_tokens, cost, self.queued_ns)

    def accepted(self) -> Accepted:
        """The reply that tells its client its id and plan."""
        return Accepted(
            request_id=self.request_id,
            execution_id=self.execution_id,
            plan=self.plan,
            plan_fingerprint=self.planned.fingerprint,
            prompt_tokens=self.prompt_tokens,
        )

    def begin_record(self) -> BeginRecord:
        """The message that has its beginning recorded, with the time now."""
        return BeginRecord(
            execution_id=self.execution_id,
            planned=self.planned,
            started_at=datetime.now(timezone.utc),
        )

    def accepted_event(self) -> AcceptedEvent:
        """The event of its acceptance."""
        return AcceptedEvent(
            plan=self.plan, plan_fingerprint=self.planned.fingerprint, prompt_tokens=self.prompt_tokens
        )

    def admitted_event(self) -> AdmittedEvent:
        """The event of its admission, with the time it was queued."""
        waited_ns = 0 if self.admitted_ns is None else self.admitted_ns - self.queued_ns
        return AdmittedEvent(queue_ms=waited_ns / 1e6)

    def started_event(self) -> StartedEvent:
        """The event of its start, with the time its weights took."""
        load_ns = (self.load_end_ns or 0) - (self.load_start_ns or 0)
        return StartedEvent(kernel_path=self.kernel_path, weights=self.weights, load_ms=load_ns / 1e6)

    def progress(self, progress: StageProgress) -> Progress:
        """The reply that tells its client how far its weights are."""
        return Progress(request_id=self.request_id, **dict(progress))

    def admit(self, admitted_ns: int) -> None:
        """Note its admission."""
        self.admitted_ns = admitted_ns
        self.state = "loading"

    def start(self, event: Started) -> None:
        """Note that its weights are ready."""
        self.kernel_path = event.kernel_path
        self.weights = event.weights
        self.weights_bytes = event.weights_bytes
        self.buffers_bytes = event.buffers_bytes
        # It may have joined a load that began before its admission.
        self.load_start_ns = max(event.load_start_ns, self.admitted_ns or 0)
        self.load_end_ns = event.load_end_ns
        self.state = "running"

    def advance(self, events: SequenceEvents) -> Tokens | None:
        """Apply new events; return the ``Tokens`` for the client, if any."""
        if events.prefill_start_ns is not None:
            self.prefill_start_ns = events.prefill_start_ns
            self.cached_prompt_tokens = events.cached_prompt_tokens
        piece = NOTHING
        if events.choice is not None:
            piece = self.choices[events.choice].advance(events, self.plan)
        if events.stop_reason is not None:
            self.error = self.error or events.error
            if events.non_finite is not None:
                self.failure = self.failure or failed(self.request_id, self._non_finite(events.non_finite))
            self._add_compute_time(events.compute_time)
            if events.kv_cache_bytes is not None:
                self.kv_cache_bytes = max(self.kv_cache_bytes or 0, events.kv_cache_bytes)
            self.end(events.stop_reason, events.choice)
        token_ids, text = events.token_ids[events.sent_tokens :], piece.text[events.sent_characters :]
        if events.choice is None or not (token_ids or text or piece.reasoning or piece.tool_calls):
            return None
        return _tokens(
            request_id=self.request_id,
            execution_id=self.execution_id,
            choice=events.choice,
            token_ids=token_ids,
            text=text,
            reasoning=piece.reasoning,
            tool_calls=piece.tool_calls,
            logprobs=events.logprobs,
        )

    def end(self, reason: BackendStopReason, choice: int | None = None) -> None:
        """End one choice, or all that have not ended. ``cancelled`` stands for whatever the stop was asked for."""
        given: StopReason = self.stop_asked or reason if reason == "cancelled" else reason
        for each in self.choices if choice is None else (self.choices[choice],):
            each.stop_reason = each.stop_reason or given
        reasons = [each.stop_reason for each in self.choices]
        if None not in reasons:
            self.stop_reason = "error" if "error" in reasons else reasons[0]

    def _non_finite(self, place: NonFinitePlace) -> NonFiniteResult:
        return non_finite_result(self.plan.model_ref.name, self.error, place, execution_id=self.execution_id)

    def _add_compute_time(self, more: ComputeTime | None) -> None:
        self.compute_time = more if self.compute_time is None else self.compute_time.plus(more)

    @property
    def tokens_total(self) -> int:
        """Tokens generated so far, over all choices."""
        return sum(len(choice.token_ids) for choice in self.choices)

    @property
    def token_times_ns(self) -> tuple[tuple[int, ...], ...]:
        """When each token of each choice was ready."""
        return tuple(tuple(choice.token_times_ns) for choice in self.choices)

    def status(self) -> ExecutionStatus:
        """The line of it in a status report."""
        return ExecutionStatus(
            execution_id=self.execution_id,
            model=self.plan.model_ref.name,
            state=self.state,
            prompt_tokens=self.prompt_tokens,
            tokens_total=self.tokens_total,
        )

    @property
    def energy_share(self) -> float | None:
        """Its part of what the machine used while it ran; ``None`` where that is not known."""
        return None if self.disturbed or self.compute_time is None else self.compute_time.share

    @property
    def why_no_share(self) -> str:
        """Why ``energy_share`` is ``None``, where it is."""
        return OTHER_WORK if self.disturbed else NO_STEP

    @property
    def active_ns(self) -> tuple[int, int] | None:
        """From its first prefill step to its last token; ``None`` where there is none."""
        ends = [times[-1] for times in self.token_times_ns if times]
        return None if self.prefill_start_ns is None or not ends else (self.prefill_start_ns, max(ends))

    @property
    def deadline_ns(self) -> int | None:
        """``time.monotonic_ns`` at its deadline; ``None`` without one."""
        deadline_ms = self.plan.limits.deadline_ms
        return None if deadline_ms is None else self.received_ns + deadline_ms * 1_000_000

    @property
    def computes(self) -> bool:
        """Whether its weights are ready and it has not ended."""
        return self.state == "running" and self.stop_reason is None

    def read_energy(self, moment: Moment) -> ReadEnergy:
        """The message that has energy read at one end of its active interval."""
        return ReadEnergy(
            execution_id=self.execution_id,
            moment=moment,
            source=self.plan.energy_source,
            limits=self.plan.limits,
        )

    def fail(self, error: EngineError) -> None:
        """It ended before it computed anything, and its client hears this error."""
        self.end("error")
        self.error = error.message
        self.failure = failed(self.request_id, error)

    def last_reply(self, record: ExecutionRecord, unrecorded: str) -> Finished | Failed:
        """The record, and why it was not kept; or, where it failed, what went wrong."""
        if self.stop_reason == "error":
            return self.failure or failed(self.request_id, InternalError(self.error, execution_id=self.execution_id))
        return Finished(request_id=self.request_id, record=record, unrecorded=unrecorded)

    def record(
        self, build: Build, hardware: Hardware, sandbox: Sandbox, cpus: int | None, energy: EnergyReport, made_ns: int
    ) -> ExecutionRecord:
        """``cpus``: online CPUs; ``made_ns``: now. Raises ValueError before the execution has ended."""
        if self.stop_reason is None:
            raise ValueError(f"{self.execution_id} has not ended")
        first, *others = (choice.record(self.plan, self.received_ns) for choice in self.choices)
        return ExecutionRecord(
            **{**dict(first), "stop_reason": self.stop_reason},
            other_choices=tuple(others),
            execution_id=self.execution_id,
            engine_version=ENGINE_VERSION,
            build=build,
            hardware=hardware,
            sandbox=sandbox,
            weights=self.weights,
            model=self.plan.model_ref.name,
            backend=self.plan.backend,
            quantization=self.plan.quantization,
            plan=self.plan,
            plan_fingerprint=self.planned.fingerprint,
            named_plan=self.planned.named_plan,
            experiment=self.planned.experiment,
            prompt_token_ids=self.planned.prompt_token_ids,
            error=self.error,
            unjudged_limits=self.unjudged_limits,
            metrics=compute_metrics(
                self._timeline(made_ns),
                energy,
                self._memory(),
                cpu_report(self.usage, self.energy_share, self.why_no_share, cpus),
                None if self.compute_time is None else self.compute_time.operation_ns,
            ),
        )

    def _memory(self) -> MemoryReport:
        return memory_report(self.usage, self.energy_share, self.weights_bytes, self.kv_cache_bytes, self.buffers_bytes)

    def _timeline(self, made_ns: int) -> Timeline:
        first, *others = self.token_times_ns
        return Timeline(
            received_ns=self.received_ns,
            prompt_tokens=self.prompt_tokens,
            ended_ns=made_ns,
            queued_ns=self.queued_ns,
            admitted_ns=self.admitted_ns,
            load_start_ns=self.load_start_ns,
            load_end_ns=self.load_end_ns,
            prefill_start_ns=self.prefill_start_ns,
            cached_prompt_tokens=self.cached_prompt_tokens,
            drafts=None if self.plan.speculation.kind == "off" else tuple(choice.drafts for choice in self.choices),
            draft_ns=None if self.plan.speculation.quantization is None else sum(one.draft_ns for one in self.choices),
            compute_ns=None if self.compute_time is None else self.compute_time.compute_ns,
            token_times_ns=first,
            other_times_ns=tuple(others),
        )


def ended_event(record: ExecutionRecord) -> EndedEvent:
    """The event of an execution's end."""
    return EndedEvent(
        stop_reason=record.stop_reason,
        error=record.error,
        model=record.model,
        backend=record.backend,
        quantization=record.quantization,
        plan_fingerprint=record.plan_fingerprint,
        metrics=record.metrics,
        logits_digest=record.logits_digest,
    )
