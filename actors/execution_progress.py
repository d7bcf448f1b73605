"""What the actors below tell of executions, carried into their accounts, to their clients, observers and records.

The part of the control plane that serves its inbox from below: it may wait for the api server alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from typing_extensions import assert_never

from actors.base import Inbox
from actors.domain_requests import DomainRequests
from actors.execution import Execution, ended_event
from actors.executions import Executions
from actors.jobs import Jobs
from actors.live_energy import LivePower
from actors.messages import (
    Addressed,
    Admitted,
    Advanced,
    ControlEvent,
    EnergyLimitReached,
    EnergyRead,
    EnergyRequest,
    ExecutionEvent,
    FinishRecord,
    Halted,
    LiveEnergyRead,
    Preparing,
    Queued,
    QueueFull,
    Recorded,
    RecorderRequest,
    Started,
    StartFailed,
    Withdrawn,
)
from actors.observers import Observers
from actors.ports import Services
from actors.reply_sender import ReplySender
from engine.energy.window import OTHER_WORK, with_active_interval
from engine.host.event_log import log_event
from engine.host.process_usage import read_process_usage
from engine.metrics.metric_totals import MetricTotals
from protocol.answers import EngineMessage
from protocol.codec import failed
from protocol.error_codes import error_from_wire
from protocol.errors import Overloaded
from protocol.events import EventBody, PreparingEvent, TokensEvent
from protocol.record import ExecutionRecord, StopReason


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the progress of executions touches."""

    energy_sampler: Inbox[EnergyRequest]
    recorder: Inbox[RecorderRequest]
    replies: ReplySender
    observers: Observers
    services: Services
    domain_requests: DomainRequests
    jobs: Jobs
    live_power: LivePower
    totals: MetricTotals


class ExecutionProgress:
    """The handler of all events from the actors below."""

    finished_total: int

    def __init__(
        self,
        executions: Executions,
        parts: Collaborators,
        withdraw_soon: Callable[[Execution, StopReason], None],
        concluded: Callable[[Execution, EngineMessage], Awaitable[None]],
    ) -> None:
        """``concluded`` is awaited when an execution is no more, with what its client has heard."""
        self._executions = executions
        self._parts = parts
        self._withdraw_soon = withdraw_soon
        self._concluded = concluded
        self._ended: dict[str, ExecutionRecord] = {}
        """What is being recorded."""
        self.finished_total = 0

    async def on_event(self, event: ControlEvent) -> None:
        """Carry one event into the accounts. Raises KeyError for an execution that is not in progress."""
        match event:
            case Advanced():
                await self._advance(event)
            case LiveEnergyRead():
                self._parts.live_power.on_read(event)
            case _:
                await self._on_execution_event(self._executions[event.execution_id], event)

    async def _on_execution_event(self, execution: Execution, event: ExecutionEvent) -> None:
        match event:
            case EnergyRead() | EnergyLimitReached() | Recorded():
                await self._on_measured(execution, event)
            case Queued():
                self._parts.recorder.put_nowait(execution.begin_record())
                await self._parts.replies.reply(execution.connection_id, execution.accepted())
                _log_accepted(execution)
                self._tell(execution, execution.accepted_event())
            case QueueFull():
                full = Overloaded(
                    f"{event.queued} executions are queued, and this client has {event.own} in the engine",
                    retry_after_ms=event.retry_after_ms,
                )
                await self._conclude(execution, failed(execution.request_id, full))
            case Admitted():
                execution.admit(event.admitted_ns)
                self._tell(execution, execution.admitted_event())
            case Preparing():
                self._executions.disturb()
                await self._parts.replies.reply(execution.connection_id, execution.progress(event.progress))
                self._tell(execution, PreparingEvent(progress=event.progress))
            case Started():
                execution.start(event)
                log_event("info", "started", execution_id=execution.execution_id, kernel_path=execution.kernel_path)
                execution.disturbed = self._parts.domain_requests.operating
                self._tell(execution, execution.started_event())
            case StartFailed():
                execution.fail(error_from_wire(event.code, event.message, event.params))
                await self._finish(execution)
            case Withdrawn() | Halted():
                execution.end("cancelled")
                await self._finish(execution)
            case _:
                assert_never(event)

    async def _on_measured(self, execution: Execution, event: EnergyRead | EnergyLimitReached | Recorded) -> None:
        match event:
            case EnergyRead():
                await self._on_energy(execution, event)
            case EnergyLimitReached():
                self._withdraw_soon(execution, event.limit)
            case Recorded():
                await self._on_recorded(execution, event)
            case _:
                assert_never(event)

    def pass_tokens_on(self, event: ControlEvent) -> bool:
        """Take an event that tells of tokens alone, the path that runs dozens of times a second for each stream."""
        if not (isinstance(event, Advanced) and all(advance.events.is_halfway for advance in event.advances)):
            return False
        self._parts.replies.deliver_nowait(self._take(event)[0])
        return True

    async def _advance(self, event: Advanced) -> None:
        replies, ended = self._take(event)
        await self._parts.replies.deliver(replies)
        for execution in ended:
            if execution.prefill_start_ns is not None:
                self._parts.energy_sampler.put_nowait(execution.read_energy("end"))
            else:
                await self._finish(execution)

    def _take(self, event: Advanced) -> tuple[list[Addressed], list[Execution]]:
        """Carry what sequences did into their accounts: what clients and observers hear of it, and what has ended."""
        replies: list[Addressed] = []
        ended: list[Execution] = []
        for advance in event.advances:
            execution = self._executions[advance.execution_id]
            tokens = execution.advance(advance.events)
            self._read_usage(execution, at_end=advance.events.stop_reason is not None)
            if advance.events.prefill_start_ns is not None:
                self._parts.energy_sampler.put_nowait(execution.read_energy("start"))
            if tokens is not None:
                replies.append(Addressed(connection_id=execution.connection_id, message=tokens))
            if advance.events.has_tokens and self._parts.observers.present:
                made = TokensEvent(tokens_total=execution.tokens_total)
                self._parts.observers.tell_of(execution, made)
            if advance.events.stop_reason is not None and execution.stop_reason is not None:
                ended.append(execution)
        return replies, ended

    def _read_usage(self, execution: Execution, *, at_end: bool) -> None:
        """At its start, at its end, and now and then between: a reading costs more than passing a token on."""
        if execution.prefill_start_ns is None:
            return
        execution.usage.alone = execution.usage.alone and len(self._executions) == 1 and not self._parts.jobs
        if at_end or execution.usage.is_due(time.monotonic_ns()):
            execution.usage.add(read_process_usage())

    async def _on_energy(self, execution: Execution, event: EnergyRead) -> None:
        if event.moment == "start":
            execution.energy_start = event.reading
            self._parts.live_power.reconsider()
        else:
            execution.energy_end = event.reading
            execution.unjudged_limits = event.unjudged
            await self._finish(execution)

    async def _finish(self, execution: Execution) -> None:
        """Have the record kept; the client hears of the end once it is."""
        start, end = execution.energy_start, execution.energy_end
        report = self._parts.services.energy.report(execution.plan.energy_source, start, end, execution.energy_share)
        if report.reason == OTHER_WORK:
            report = report.model_copy(update={"reason": execution.why_no_share})
        energy = with_active_interval(report, start, end, execution.active_ns)
        domain = self._parts.services.domain
        hardware = domain.hardware(execution.kernel_path, execution.plan.threads)
        record = execution.record(domain.build, hardware, domain.sandbox, os.cpu_count(), energy, time.monotonic_ns())
        self._ended[execution.execution_id] = record
        self._parts.totals.add(record, *execution.token_times_ns)
        self._parts.recorder.put_nowait(FinishRecord(record=record))

    async def _on_recorded(self, execution: Execution, event: Recorded) -> None:
        record = self._ended.pop(execution.execution_id)
        self._tell(execution, ended_event(record))
        _log_ended(record, event.problem)
        self.finished_total += 1
        await self._conclude(execution, execution.last_reply(record, event.problem))

    async def _conclude(self, execution: Execution, reply: EngineMessage) -> None:
        self._executions.remove(execution)
        await self._parts.replies.reply(execution.connection_id, reply)
        await self._concluded(execution, reply)

    def _tell(self, execution: Execution, body: EventBody) -> None:
        """Tell the observers."""
        self._parts.observers.tell_of(execution, body)


def _log_accepted(execution: Execution) -> None:
    log_event(
        "info",
        "accepted",
        execution_id=execution.execution_id,
        connection=execution.connection_id,
        request_id=execution.request_id,
        user=execution.requester.user,
        client=execution.requester.client,
        model=execution.plan.model_ref.name,
        prompt_tokens=execution.prompt_tokens,
    )


def _log_ended(record: ExecutionRecord, unrecorded: str) -> None:
    log_event(
        "warning" if unrecorded or record.stop_reason == "error" else "info",
        "ended",
        execution_id=record.execution_id,
        stop_reason=record.stop_reason,
        tokens=record.metrics.tokens_total,
        latency_ms=record.metrics.latency_total_ms,
        unrecorded=unrecorded or None,
    )
