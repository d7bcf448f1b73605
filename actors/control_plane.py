"""Turns requests into plans, follows each execution from its plan to its record, and answers its client.

Owns        the executions that have a plan and no record yet, their deadlines, and the worker-thread jobs
Receives    ClientRequest, Abandon, Stop from the api server; from below, what the scheduler, the executor and the
            energy sampler tell about executions
Sends       Deliver, Drained to the api server; Enqueue, Withdraw to the scheduler; ReadEnergy to the energy sampler;
            BeginRecord, FinishRecord to the recorder
Fails when  an actor below tells of an execution that it cannot know; what a worker thread raises ends its job alone
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar, assert_never

import trio

from actors.base import Actor, Inbox
from actors.deadlines import Deadlines
from actors.execution import Execution, ended_event
from actors.executions import Executions
from actors.faults import ENERGY_SAMPLER, EXECUTOR
from actors.jobs import Jobs
from actors.limits import Limits
from actors.messages import (
    Abandon,
    Addressed,
    Admitted,
    Advanced,
    AskedMessage,
    ClientRequest,
    ControlEvent,
    ControlRequest,
    Deliver,
    Drained,
    EnergyLimitReached,
    EnergyRead,
    Enqueue,
    ExecutionEvent,
    FinishRecord,
    Halted,
    Preparing,
    Queued,
    QueueFull,
    ReadEnergy,
    Recorded,
    RecorderRequest,
    SchedulerRequest,
    Started,
    StartFailed,
    Stop,
    ToApiServer,
    Withdraw,
    Withdrawn,
)
from actors.metrics_report import Present, report_metrics
from actors.observers import Observers
from actors.ports import Outside, Prepared
from actors.questions import Questions
from actors.status import report_status
from engine.machine import memory_peak_mb
from engine.metric_totals import MetricTotals
from protocol.answers import Done, EngineMessage, Failed, MetricsReport, StatusReport
from protocol.codec import failed
from protocol.errors import (
    BackendUnavailable,
    EnergyUnavailable,
    Overloaded,
    ShuttingDown,
    UnknownExecution,
    error_from_wire,
)
from protocol.events import EventBody, PreparingEvent, TokensEvent
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord, StopReason
from protocol.requests import (
    Cancel,
    Evaluate,
    Metrics,
    Quantize,
    Replay,
    Run,
    Shutdown,
    Status,
    Subscribe,
    Unsubscribe,
)

_RETRY_MS = 1000
Asked = TypeVar("Asked")
"""What a plan is made of: a request, or the name of an execution to repeat."""


class ControlPlane(Actor):
    def __init__(
        self,
        above: Inbox[ControlRequest],
        below: Inbox[ControlEvent],
        api_server: Inbox[ToApiServer],
        scheduler: Inbox[SchedulerRequest],
        energy_sampler: Inbox[ReadEnergy],
        recorder: Inbox[RecorderRequest],
        outside: Outside,
        limits: Limits,
    ) -> None:
        self._above = above
        self._below = below
        self._api_server = api_server
        self._scheduler = scheduler
        self._energy_sampler = energy_sampler
        self._recorder = recorder
        self._domain = outside.domain
        self._energy = outside.energy
        self._backend_statistics = outside.backend_statistics
        self._faults = outside.faults
        self._limits = limits
        self._executions = Executions()
        self._observers = Observers()
        self._workers = trio.CapacityLimiter(limits.workers)
        self._questions = Questions(outside.domain, self._workers, limits, self._reply, self._executions.disturb)
        self._jobs = Jobs(self._on_job_ended, self._faults.tell)
        self._ended: dict[str, ExecutionRecord] = {}
        """What is being recorded."""
        self._deadlines = Deadlines()
        self._shutdowns: list[ClientRequest] = []
        self._stopping = False
        self._drain = trio.CancelScope()
        self._watts: float | None = None
        self._finished_total = 0
        self._totals = MetricTotals()
        self._began_ns = time.monotonic_ns()

    def start_tasks(self) -> None:
        self.serve(self._above, self._on_request)
        self.serve(self._below, self._on_event)

    # --- from above ---------------------------------------------------------------------------------------------------

    async def _on_request(self, request: ControlRequest) -> None:
        match request:
            case ClientRequest():
                await self._on_client_request(request)
            case Abandon():
                await self._abandon(request)
            case Stop():
                await self._stop(request.drain_s)
            case _:
                assert_never(request)

    async def _on_client_request(self, request: ClientRequest) -> None:
        message = request.message
        match message:
            case Status():
                await self._reply(request.connection_id, self._status(message.request_id))
            case Metrics():
                await self._reply(request.connection_id, self._metrics(message.request_id))
            case Cancel():
                await self._cancel(request.connection_id, message)
            case Subscribe():
                await self._deliver(self._observers.subscribe(request.connection_id, message))
            case Unsubscribe():
                await self._deliver(self._observers.unsubscribe(request.connection_id, (message.subscription,)))
                await self._reply(request.connection_id, Done(request_id=message.request_id))
            case Shutdown():
                self._shutdowns.append(request)
                await self._stop(message.drain_s)
            case Run():
                await self._begin(request, partial(self._prepare, request, self._domain.prepare, message.request))
            case Replay():
                await self._begin(request, partial(self._prepare, request, self._domain.recorded, message.execution_id))
            case Quantize() | Evaluate():
                await self._begin(request, partial(self._questions.operate, request.connection_id, message))
            case _:
                await self._begin(request, partial(self._questions.answer, request.connection_id, message))

    async def _begin(self, request: ClientRequest, work: Callable[[], Awaitable[None]]) -> None:
        """Start a job, unless the engine is stopping or has as much as it can hold."""
        request_id = request.message.request_id
        if self._stopping:
            await self._reply(request.connection_id, failed(request_id, ShuttingDown("the engine is stopping")))
        elif reason := self._refusal(request.message):
            await self._reply(request.connection_id, failed(request_id, reason))
        elif len(self._executions) + len(self._jobs) >= self._limits.max_executions:
            full = Overloaded(f"{self._limits.max_executions} requests are in progress", retry_after_ms=_RETRY_MS)
            await self._reply(request.connection_id, failed(request_id, full))
        else:
            self._jobs.begin(self.nursery, request.connection_id, request_id, work)

    def _refusal(self, message: AskedMessage) -> BackendUnavailable | None:
        """Why what needs the backend cannot be had any more."""
        reason = self._faults.failed.get(EXECUTOR)
        if reason is None or not isinstance(message, Run | Replay | Evaluate):
            return None
        return BackendUnavailable(f"the backend failed ({reason}); start the engine again", reason=reason)

    def _require_watch(self, plan: ExecutionPlan) -> None:
        """Raises EnergyUnavailable: nobody is left who would hold the execution to its limit."""
        reason = self._faults.failed.get(ENERGY_SAMPLER)
        if reason is not None and plan.limits.of_energy:
            raise EnergyUnavailable(f"the {ENERGY_SAMPLER} failed ({reason}); start the engine again", reason=reason)

    async def _on_job_ended(self, connection_id: int, failure: Failed | None) -> None:
        if failure is not None:
            await self._reply(connection_id, failure)
        await self._stop_if_drained()

    async def _prepare(self, request: ClientRequest, decide: Callable[[Asked], Prepared], asked: Asked) -> None:
        """Freeze the plan in a worker thread, then queue the execution."""
        prepared = await trio.to_thread.run_sync(decide, asked, limiter=self._workers, abandon_on_cancel=True)
        self._require_watch(prepared.plan)
        # Nothing may be queued for a client that went, or an engine that began to stop, just now.
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._enqueue(
            Execution(
                execution_id=f"exec-{secrets.token_hex(8)}",
                connection_id=request.connection_id,
                request_id=request.message.request_id,
                received_ns=request.received_ns,
                plan=prepared.plan,
                prompt_token_ids=prepared.prompt_token_ids,
                estimate=prepared.estimate,
                queued_ns=time.monotonic_ns(),
            )
        )

    async def _enqueue(self, execution: Execution) -> None:
        self._executions.add(execution)
        enqueue = Enqueue(
            candidate=execution.candidate(self._watts), plan=execution.plan, prompt_token_ids=execution.prompt_token_ids
        )
        on_deadline = partial(self._withdraw, [execution], "deadline")
        self._deadlines.begin(self.nursery, execution.execution_id, execution.deadline_ns, on_deadline)
        try:
            await self._scheduler.put(enqueue)
        except trio.Cancelled:
            self._deadlines.end(execution.execution_id)
            self._executions.remove(execution)
            raise

    async def _cancel(self, connection_id: int, message: Cancel) -> None:
        execution = self._executions.find(message.execution_id)
        if execution is None:
            error = UnknownExecution(
                f"no execution {message.execution_id!r} is in progress", execution_id=message.execution_id
            )
            await self._reply(connection_id, failed(message.request_id, error))
            return
        await self._withdraw([execution], "cancelled")
        await self._reply(connection_id, Done(request_id=message.request_id))

    async def _abandon(self, request: Abandon) -> None:
        self._jobs.cancel(request.connection_id, request.request_ids)
        self._observers.unsubscribe(request.connection_id, request.request_ids)
        await self._withdraw(
            [
                execution
                for execution in self._executions
                if execution.connection_id == request.connection_id and execution.request_id in request.request_ids
            ],
            "client_gone",
        )

    async def _withdraw(self, executions: Iterable[Execution], reason: StopReason) -> None:
        for execution in executions:
            if execution.stop_asked is None:
                execution.stop_asked = reason
                await self._scheduler.put(Withdraw(execution_id=execution.execution_id))

    async def _stop(self, drain_s: float) -> None:
        """Told again, it can only come sooner."""
        self._drain.deadline = min(self._drain.deadline, trio.current_time() + drain_s)
        if not self._stopping:
            self._stopping = True
            self._jobs.cancel_all()
            self.nursery.start_soon(self._stop_at_last)
            await self._withdraw([one for one in self._executions if one.state == "queued"], "shutdown")
        await self._stop_if_drained()

    async def _stop_at_last(self) -> None:
        """What will not end does not hold it up: its client hears ``shutting_down`` from its connection."""
        with self._drain:
            await trio.sleep_forever()
        await self._withdraw(list(self._executions), "shutdown")
        await trio.sleep(self._limits.stop_s)
        await self._tell_drained()

    # --- from below ---------------------------------------------------------------------------------------------------

    async def _on_event(self, event: ControlEvent) -> None:
        match event:
            case Advanced():
                await self._advance(event)
            case _:
                await self._on_execution_event(self._executions[event.execution_id], event)

    async def _on_execution_event(self, execution: Execution, event: ExecutionEvent) -> None:
        match event:
            case EnergyRead() | EnergyLimitReached() | Recorded():
                await self._on_measured(execution, event)
            case Queued():
                self._recorder.put_nowait(execution.begin_record())
                await self._reply(execution.connection_id, execution.accepted())
                await self._tell(execution, execution.accepted_event())
            case QueueFull():
                full = Overloaded(f"{event.queued} executions are queued", retry_after_ms=event.retry_after_ms)
                await self._conclude(execution, failed(execution.request_id, full))
            case Admitted():
                execution.admit(event.admitted_ns)
                await self._tell(execution, execution.admitted_event())
            case Preparing():
                self._executions.disturb()
                await self._reply(execution.connection_id, execution.progress(event.progress))
                await self._tell(execution, PreparingEvent(progress=event.progress))
            case Started():
                execution.start(event)
                execution.disturbed = self._questions.operating
                await self._tell(execution, execution.started_event())
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
                # In a task of its own: who serves the events from below never waits for the scheduler.
                self.nursery.start_soon(self._withdraw, [execution], event.limit)
            case Recorded():
                await self._on_recorded(execution, event)
            case _:
                assert_never(event)

    async def _advance(self, event: Advanced) -> None:
        """Pass tokens on: the path that runs dozens of times a second for each stream."""
        replies: list[Addressed] = []
        ended: list[Execution] = []
        for advance in event.advances:
            execution = self._executions[advance.execution_id]
            tokens = execution.advance(advance.events)
            if advance.events.prefill_start_ns is not None and self._measures(execution):
                self._energy_sampler.put_nowait(execution.read_energy("start"))
            if tokens is not None:
                replies.append(Addressed(connection_id=execution.connection_id, message=tokens))
                replies += self._observers.tell_of(execution, TokensEvent(tokens_total=len(execution.token_ids)))
            if advance.events.stop_reason is not None:
                ended.append(execution)
        await self._deliver(replies)
        for execution in ended:
            if execution.prefill_start_ns is not None and self._measures(execution):
                self._energy_sampler.put_nowait(execution.read_energy("end"))
            else:
                await self._finish(execution)

    def _measures(self, execution: Execution) -> bool:
        return not self._energy.reason and execution.plan.energy_source == self._energy.name

    async def _on_energy(self, execution: Execution, event: EnergyRead) -> None:
        if event.moment == "start":
            execution.energy_start = event.reading
        else:
            execution.energy_end = event.reading
            await self._finish(execution)

    async def _finish(self, execution: Execution) -> None:
        """Have the record kept; the client hears of the end once it is."""
        energy = self._energy.report(
            execution.plan.energy_source, execution.energy_start, execution.energy_end, execution.energy_share
        )
        record = execution.record(self._domain.cpu_model, energy, memory_peak_mb())
        self._ended[execution.execution_id] = record
        self._totals.add(record, execution.token_times_ns)
        self._recorder.put_nowait(FinishRecord(record=record))

    async def _on_recorded(self, execution: Execution, event: Recorded) -> None:
        record = self._ended.pop(execution.execution_id)
        self._watts = record.metrics.watts_avg or self._watts
        await self._tell(execution, ended_event(record))
        await self._conclude(execution, execution.last_reply(record, event.problem))

    async def _conclude(self, execution: Execution, reply: EngineMessage) -> None:
        self._deadlines.end(execution.execution_id)
        self._executions.remove(execution)
        self._finished_total += 1
        await self._reply(execution.connection_id, reply)
        await self._stop_if_drained()

    async def _tell(self, execution: Execution, body: EventBody) -> None:
        """Tell whoever observes."""
        await self._deliver(self._observers.tell_of(execution, body))

    # --- both ---------------------------------------------------------------------------------------------------------

    async def _deliver(self, replies: Sequence[Addressed]) -> None:
        if replies:
            await self._api_server.put(Deliver(replies=tuple(replies)))

    async def _reply(self, connection_id: int, message: EngineMessage) -> None:
        if isinstance(message, Failed):
            self._totals.add_failure(message.code)
        await self._api_server.put(Deliver(replies=(Addressed(connection_id=connection_id, message=message),)))

    async def _stop_if_drained(self) -> None:
        if self._stopping and not self._executions and not self._jobs:
            await self._tell_drained()

    async def _tell_drained(self) -> None:
        await self._deliver(self._observers.end())
        shutdowns, self._shutdowns = self._shutdowns, []
        for request in shutdowns:
            await self._reply(request.connection_id, Done(request_id=request.message.request_id))
        await self._api_server.put(Drained())

    def _status(self, request_id: int) -> StatusReport:
        return report_status(
            request_id,
            uptime_s=(time.monotonic_ns() - self._began_ns) / 1e9,
            executions=self._executions,
            backend=self._backend_statistics(),
            energy=self._energy,
            finished_total=self._finished_total,
            faults=self._faults,
        )

    def _metrics(self, request_id: int) -> MetricsReport:
        uptime_s = (time.monotonic_ns() - self._began_ns) / 1e9
        present = Present(uptime_s, self._executions, self._backend_statistics(), memory_peak_mb())
        return report_metrics(request_id, present, self._totals)
