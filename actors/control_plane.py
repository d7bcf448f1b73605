"""Turns requests into plans, follows each execution from its plan to its record, and answers its client.

Owns        the executions that have a plan and no record yet, their deadlines, and the worker-thread jobs
Receives    ClientRequest, Abandon, Drain from the api server; from below, what the scheduler, the executor and the
            energy sampler tell about executions
Sends       Deliver, Drained to the api server; Enqueue, Withdraw to the scheduler; ReadEnergy, ReadLiveEnergy to the
            energy sampler; BeginRecord, FinishRecord to the recorder
Fails when  an actor below tells of an execution that it cannot know; what a worker thread raises ends its job alone
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio
from typing_extensions import assert_never

from actors.availability import refuse_unavailable
from actors.base import Actor, Inbox
from actors.domain_requests import DomainRequests
from actors.execution import Execution
from actors.execution_progress import Collaborators, ExecutionProgress
from actors.execution_queue import ExecutionQueue, ExecutionRequester, new_execution_id
from actors.executions import Executions
from actors.experiments import ExperimentsInProgress
from actors.jobs import Jobs
from actors.limits import ServiceLimits
from actors.live_energy import LivePower
from actors.messages import (
    Abandon,
    ClientRequest,
    ControlEvent,
    ControlRequest,
    Drain,
    Drained,
    EnergyRequest,
    RecorderRequest,
    SchedulerRequest,
    ToApiServer,
)
from actors.metrics_report import Snapshot, report_metrics
from actors.observers import Observers
from actors.ports import Services
from actors.reply_sender import ReplySender
from actors.status import report_status
from actors.workers import Workers
from engine.host.machine import peak_resident_bytes
from engine.host.process_usage import read_process_usage
from engine.planned_execution import PlannedExecution
from protocol.answers import AnswerMessage, Done, EngineMessage, MetricsReport, StatusReport
from protocol.errors import (
    EngineError,
    Overloaded,
    ShuttingDown,
    UnknownExecution,
)
from protocol.experiment_messages import Experiment
from protocol.live_energy import PowerReport
from protocol.message import Request
from protocol.requests import (
    Cancel,
    Energy,
    Metrics,
    RemoveModel,
    Replay,
    Run,
    Shutdown,
    Status,
    StopExperiment,
    Subscribe,
    Unsubscribe,
)

_RETRY_MS = 1000
_TOLD_AT_ONCE = 32
"""Events for observers in a turn of the event loop: making and encoding each takes some twenty microseconds."""
_METRICS_WATTS_S = 60.0
"""Watts of the metrics are those since the last such request, if it was no longer ago: monitoring asks so often."""
RequestT = TypeVar("RequestT", bound=Request[Any])
Handler = Callable[[Any, ClientRequest], Awaitable[AnswerMessage | None]]
"""What answers a request of one class; ``None``: its answers come later. Raises EngineError."""


def _on(
    kind: type[RequestT], handler: Callable[[RequestT, ClientRequest], Awaitable[AnswerMessage | None]]
) -> tuple[type[Request[Any]], Handler]:
    """A row of the table of handlers, whose handler takes messages of its class."""
    return kind, handler


class ControlPlane(Actor):
    """The actor that answers requests and follows executions."""

    def __init__(
        self,
        above: Inbox[ControlRequest],
        below: Inbox[ControlEvent],
        api_server: Inbox[ToApiServer],
        scheduler: Inbox[SchedulerRequest],
        energy_sampler: Inbox[EnergyRequest],
        recorder: Inbox[RecorderRequest],
        services: Services,
        limits: ServiceLimits,
    ) -> None:
        self._above = above
        self._below = below
        self._api_server = api_server
        self._totals = services.totals
        self._replies = ReplySender(api_server, self._totals.add_failure)
        self._services = services
        self._limits = limits
        self._executions = Executions()
        self._queue = ExecutionQueue(self._executions, scheduler, services.faults, lambda: self.nursery)
        self._told = trio.Event()
        self._observers = Observers(self._have_observers_told)
        self._workers = Workers(limits.workers)
        self._domain_requests = DomainRequests(
            services.domain, self._workers, limits, self._replies.reply, self._executions
        )
        self._live_power = LivePower(energy_sampler, services.energy, self._executions, self._observers, self._replies)
        self._jobs = Jobs(self._replies.answer, self._stop_if_drained, self._services.faults.tell)
        self._experiments = ExperimentsInProgress(
            *(services.domain, self._workers, self._domain_requests, self._replies),
            *(self._queue, self._executions, limits.stop_s),
        )
        self._experiment_jobs = Jobs(self._replies.answer, self._stop_if_drained, self._services.faults.tell)
        self._shutdowns: list[ClientRequest] = []
        self._stopping = False
        self._drain = trio.CancelScope()
        parts = Collaborators(
            *(energy_sampler, recorder, self._replies, self._observers, services),
            *(self._domain_requests, self._jobs, self._live_power, self._totals),
        )
        self._progress = ExecutionProgress(self._executions, parts, self._queue.withdraw_soon, self._on_concluded)
        self._handlers = self._make_handlers()
        self._began_ns = time.monotonic_ns()

    def start_tasks(self) -> None:
        """Serve both inboxes, and observers of live power."""
        self.serve(self._above, self._on_request)
        self.serve(self._below, self._progress.on_event)
        self.serve_at_once(self._below, self._progress.pass_tokens_on)
        self.nursery.start_soon(self._live_power.tell_observers)
        self.nursery.start_soon(self._tell_observers)

    def _have_observers_told(self) -> None:
        self._told.set()

    async def _tell_observers(self) -> None:
        while True:
            await self._told.wait()
            self._told = trio.Event()
            while self._observers.pending:
                await self._replies.deliver(self._observers.take(_TOLD_AT_ONCE))
                await trio.lowlevel.checkpoint()

    # --- from above ---------------------------------------------------------------------------------------------------

    async def _on_request(self, request: ControlRequest) -> None:
        match request:
            case ClientRequest():
                await self._on_client_request(request)
            case Abandon():
                await self._abandon(request)
            case Drain():
                await self._stop(request.drain_s)
            case _:
                assert_never(request)

    def _make_handlers(self) -> dict[type[Request[Any]], Handler]:
        domain, requests = self._services.domain, self._domain_requests
        return dict(
            (
                _on(Status, self._on_status),
                _on(Metrics, self._on_metrics),
                _on(Cancel, self._on_cancel),
                _on(Subscribe, self._on_subscribe),
                _on(Unsubscribe, self._on_unsubscribe),
                _on(Shutdown, self._on_shutdown),
                _on(Energy, self._in_job(self._live_power.answer)),
                _on(RemoveModel, self._in_job(requests.remove_model)),
                _on(Run, self._in_job(self._run)),
                _on(Replay, self._in_job(self._replay)),
                _on(Experiment, self._in_job(self._experiments.carry_out, self._experiment_jobs)),
                _on(StopExperiment, self._on_stop_experiment),
                *((kind, self._in_job(requests.answer)) for kind in domain.answers),
                *((kind, self._in_job(requests.operate)) for kind in domain.operations),
                *((kind, self._in_job(requests.download)) for kind in domain.downloads),
            )
        )

    async def _on_client_request(self, request: ClientRequest) -> None:
        message = request.message
        try:
            answer = await self._handlers[type(message)](message, request)
        except EngineError as error:
            await self._replies.answer(request.connection_id, message.request_id, error)
        else:
            if answer is not None:
                await self._replies.answer(request.connection_id, message.request_id, answer)

    def _in_job(
        self, handler: Callable[[RequestT, ClientRequest], Awaitable[AnswerMessage | None]], jobs: Jobs | None = None
    ) -> Handler:
        """A handler that has another's work done as a job, unless the engine is stopping or has all it can hold.

        ``jobs``: those of experiments, which are not counted as work beside their own executions.
        """

        async def begin(message: RequestT, request: ClientRequest) -> None:
            if self._stopping:
                raise ShuttingDown("the engine is stopping")
            refuse_unavailable(request.message, self._services.faults.failed, len(self._executions))
            if len(self._executions) + len(self._jobs) + len(self._experiment_jobs) >= self._limits.max_executions:
                raise Overloaded(f"{self._limits.max_executions} requests are in progress", retry_after_ms=_RETRY_MS)
            self._begin(request, partial(handler, message, request), jobs)

        return begin

    def _begin(
        self, request: ClientRequest, work: Callable[[], Awaitable[AnswerMessage | None]], jobs: Jobs | None = None
    ) -> None:
        (jobs or self._jobs).begin(self.nursery, request.connection_id, request.message.request_id, work)

    async def _on_status(self, message: Status, request: ClientRequest) -> StatusReport:
        return report_status(
            uptime_s=self._uptime_s(),
            executions=self._executions,
            backend=self._services.backend_statistics(),
            energy=self._services.energy,
            finished_total=self._progress.finished_total,
            faults=self._services.faults,
        )

    async def _on_metrics(self, message: Metrics, request: ClientRequest) -> MetricsReport | None:
        """Answer at once where nothing measures; else with watts since a request of the last minute, or of a second."""
        if self._stopping or self._services.energy.name == "none":
            return self._metrics(None)
        self._begin(request, self._measure)
        return None

    async def _measure(self) -> MetricsReport:
        return self._metrics(await self._live_power.measured(_METRICS_WATTS_S))

    def _metrics(self, power: PowerReport | None) -> MetricsReport:
        usage, statistics = read_process_usage(), self._services.backend_statistics()
        snapshot = Snapshot(self._uptime_s(), self._executions, statistics, usage, peak_resident_bytes(), power)
        return report_metrics(snapshot, self._totals)

    def _uptime_s(self) -> float:
        return (time.monotonic_ns() - self._began_ns) / 1e9

    async def _on_subscribe(self, message: Subscribe, request: ClientRequest) -> None:
        await self._replies.deliver([self._observers.subscribe(request.connection_id, request.requester, message)])
        self._live_power.reconsider()

    async def _on_unsubscribe(self, message: Unsubscribe, request: ClientRequest) -> Done:
        await self._replies.deliver(self._observers.unsubscribe(request.connection_id, (message.subscription,)))
        return Done()

    async def _on_shutdown(self, message: Shutdown, request: ClientRequest) -> None:
        self._shutdowns.append(request)
        await self._stop(message.drain_s)

    async def _on_cancel(self, message: Cancel, request: ClientRequest) -> Done:
        execution = self._executions.find(message.execution_id)
        if execution is None:
            raise UnknownExecution(
                f"no execution {message.execution_id!r} is in progress", execution_id=message.execution_id
            )
        await self._queue.withdraw([execution], "cancelled")
        return Done()

    async def _on_stop_experiment(self, message: StopExperiment, request: ClientRequest) -> Done:
        self._experiments.stop(message)
        return Done()

    async def _run(self, message: Run, request: ClientRequest) -> None:
        await self._prepare(request, partial(self._services.domain.prepare, message.request))

    async def _replay(self, message: Replay, request: ClientRequest) -> None:
        await self._prepare(request, partial(self._services.domain.recorded, message.execution_id))

    async def _prepare(self, request: ClientRequest, decide: Callable[[], PlannedExecution]) -> None:
        """Freeze the plan in a worker thread, then queue the execution."""
        planned = await self._workers.run(request.requester, decide)
        # Nothing may be queued for a client that went, or an engine that began to stop, just now.
        await trio.lowlevel.checkpoint_if_cancelled()
        asked = ExecutionRequester(
            request.connection_id, request.message.request_id, request.requester, request.received_ns
        )
        await self._queue.begin(planned, new_execution_id(), asked)

    async def _abandon(self, request: Abandon) -> None:
        await self._jobs.cancel(request.connection_id, request.request_ids)
        await self._experiment_jobs.cancel(request.connection_id, request.request_ids)
        self._observers.unsubscribe(request.connection_id, request.request_ids)
        await self._queue.withdraw(
            [
                execution
                for execution in self._executions
                if execution.connection_id == request.connection_id and execution.request_id in request.request_ids
            ],
            "client_gone",
        )

    async def _stop(self, drain_s: float) -> None:
        """Told again, it can only come sooner."""
        self._drain.deadline = min(self._drain.deadline, trio.current_time() + drain_s)
        if not self._stopping:
            self._stopping = True
            await self._jobs.cancel_all()
            await self._experiment_jobs.cancel_all()
            self.nursery.start_soon(self._stop_at_last)
            await self._queue.withdraw([one for one in self._executions if one.state == "queued"], "shutdown")
        await self._stop_if_drained()

    async def _stop_at_last(self) -> None:
        """What will not end does not hold it up: its client hears ``shutting_down`` from its connection."""
        with self._drain:
            await trio.sleep_forever()
        await self._queue.withdraw(list(self._executions), "shutdown")
        await trio.sleep(self._limits.stop_s)
        await self._tell_drained()

    # --- ends ---------------------------------------------------------------------------------------------------------

    async def _on_concluded(self, execution: Execution, reply: EngineMessage) -> None:
        self._queue.conclude(execution)
        self._experiments.conclude(execution.execution_id, reply)
        await self._stop_if_drained()

    async def _stop_if_drained(self) -> None:
        if self._stopping and not self._executions and not self._jobs and not self._experiment_jobs:
            await self._tell_drained()

    async def _tell_drained(self) -> None:
        await self._replies.deliver(self._observers.end())
        shutdowns, self._shutdowns = self._shutdowns, []
        for request in shutdowns:
            await self._replies.answer(request.connection_id, request.message.request_id, Done())
        await self._api_server.put(Drained())
