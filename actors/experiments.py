"""Carries experiments out: each execution of a declared schedule, one after the other, by the engine's own ways.

The part of the control plane that waits for the executions which it began. It decides nothing: the schedule and the
figures are the engine's, and what ends an experiment early is an agent, its connection, or a fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from actors.domain_requests import DomainRequests
from actors.execution_queue import ExecutionQueue, ExecutionRequester, new_execution_id
from actors.executions import Executions
from actors.messages import ClientRequest
from actors.policies.requester import ENGINE
from actors.ports import Domain
from actors.reply_sender import ReplySender
from actors.workers import Workers
from engine.experiments.open_experiment import OpenExperiment
from protocol.answers import AnswerMessage, EngineMessage, Failed, Finished
from protocol.error_codes import error_from_wire
from protocol.errors import EngineError, InternalError, RecordStoreUnavailable, UnknownEntry
from protocol.experiment import ExperimentEnd, ScheduledRun
from protocol.experiment_messages import Experiment, ExperimentDeclared, Experimented, ExperimentProgress, PairMeasured
from protocol.operation_answers import Evaluated
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord
from protocol.requests import StopExperiment

Result = TypeVar("Result")
NOBODY = 0
"""No connection's id: of executions that the engine begins for an experiment."""

GONE = "its client went, or the engine began to stop"


@dataclass(slots=True, eq=False)
class _Awaited:
    """An execution that an experiment waits for."""

    concluded: trio.Event = field(default_factory=trio.Event)
    reply: EngineMessage | None = None


@dataclass(slots=True, eq=False)
class _Running:
    """An experiment that an agent may stop."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    why_stopped: str = ""


class ExperimentsInProgress:
    """The experiments in progress: one runs, others wait for it."""

    def __init__(
        self,
        domain: Domain,
        workers: Workers,
        requests: DomainRequests,
        replies: ReplySender,
        queue: ExecutionQueue,
        executions: Executions,
        stop_s: float,
    ) -> None:
        """``stop_s``: how long the end of an execution is awaited that was told to stop."""
        self._domain = domain
        self._workers = workers
        self._requests = requests
        self._replies = replies
        self._queue = queue
        self._executions = executions
        self._stop_s = stop_s
        self._turn = trio.Lock()
        self._awaited: dict[str, _Awaited] = {}
        self._running: dict[str, _Running] = {}

    async def carry_out(self, message: Experiment, request: ClientRequest) -> Experimented:
        """Declare the experiment, run its schedule and seal what came of it, however it ends.

        Raises what declaring raises, and what keeps its end from being recorded.
        """
        async with self._turn:
            opened = await self._in_thread(partial(self._domain.open_experiment, message))
            ended: ExperimentEnd = "failed"
            reason = "a fault of the engine"
            try:
                ended, reason = await self._run(opened, request)
            except trio.Cancelled:
                ended, reason = "stopped", GONE
                raise
            finally:
                with trio.CancelScope(deadline=trio.current_time() + self._stop_s, shield=True):
                    answer = await self._end(opened, ended, reason)
            return answer

    def stop(self, message: StopExperiment) -> None:
        """End an experiment that runs. Raises UnknownEntry: none of this id does."""
        name = message.experiment_id
        running = self._running.get(name)
        if running is None:
            raise UnknownEntry(f"no experiment {name!r} is running", kind="experiment", id=name)
        said = f": {message.reason}" if message.reason else ""
        running.why_stopped = f"{message.agent or 'an agent'} stopped it{said}"
        running.scope.cancel()

    def conclude(self, execution_id: str, reply: EngineMessage) -> None:
        """An execution is over; it may be one that an experiment waits for."""
        awaited = self._awaited.get(execution_id)
        if awaited is not None:
            awaited.reply = reply
            awaited.concluded.set()

    async def _run(self, opened: OpenExperiment, request: ClientRequest) -> tuple[ExperimentEnd, str]:
        declared = ExperimentDeclared(declaration=opened.declaration, sequence=opened.sequence)
        running = self._running[opened.experiment_id] = _Running()
        try:
            with running.scope:
                await self._tell(request, declared)
                await self._evaluate(opened, request)
                await self._run_schedule(opened, request)
        except EngineError as error:
            return "failed", error.message
        else:
            return ("stopped", running.why_stopped) if running.scope.cancelled_caught else ("complete", "")
        finally:
            del self._running[opened.experiment_id]

    async def _run_schedule(self, opened: OpenExperiment, request: ClientRequest) -> None:
        schedule = opened.declaration.schedule
        for number, run in enumerate(schedule, start=1):
            pair = opened.take(run, await self._execute(opened, run))
            if pair is not None:
                await self._tell(request, PairMeasured(experiment_id=opened.experiment_id, pair=pair))
            progress = ExperimentProgress(stage="running", done=number, total=len(schedule), unit="executions")
            await self._tell(request, progress)

    async def _execute(self, opened: OpenExperiment, run: ScheduledRun) -> ExecutionRecord:
        """Raises what planning and executing raise; and RecordStoreUnavailable: the record could not be kept."""
        planned = await self._in_thread(partial(opened.prepare, run))
        execution_id = new_execution_id()
        awaited = self._awaited[execution_id] = _Awaited()
        try:
            await self._queue.begin(planned, execution_id, ExecutionRequester(NOBODY, 0, ENGINE, time.monotonic_ns()))
            await awaited.concluded.wait()
        except trio.Cancelled:
            if (execution := self._executions.find(execution_id)) is not None:
                with trio.CancelScope(deadline=trio.current_time() + self._stop_s, shield=True):
                    await self._queue.withdraw([execution], "cancelled")
                    await awaited.concluded.wait()
            if isinstance(awaited.reply, Finished):
                opened.take(run, awaited.reply.record)
            raise
        finally:
            del self._awaited[execution_id]
        return _record_of(awaited.reply)

    async def _evaluate(self, opened: OpenExperiment, request: ClientRequest) -> None:
        async def tell(progress: StageProgress) -> None:
            await self._tell(request, ExperimentProgress(**dict(progress)))

        while (wanted := await self._in_thread(opened.wanted_evaluation)) is not None:
            answer = await self._requests.carry_out(wanted, ENGINE, tell)
            if not isinstance(answer, Evaluated):
                raise InternalError(f"an evaluation was answered with a {type(answer).__name__}")
            await self._in_thread(partial(opened.take_evaluation, answer))

    async def _end(self, opened: OpenExperiment, ended: ExperimentEnd, reason: str) -> Experimented:
        record, entry = await self._in_thread(partial(opened.end, ended, reason))
        return Experimented(experiment=record, sequence=entry.sequence, hash=entry.hash)

    async def _tell(self, request: ClientRequest, message: AnswerMessage) -> None:
        await self._replies.reply(request.connection_id, message.numbered(request.message.request_id))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await self._workers.run(ENGINE, work, abandon=False)


def _record_of(reply: EngineMessage | None) -> ExecutionRecord:
    match reply:
        case Finished():
            if reply.unrecorded:
                raise RecordStoreUnavailable(reply.unrecorded, reason="unrecorded")
            return reply.record
        case Failed():
            raise error_from_wire(reply.code, reply.message, reply.params)
        case _:
            raise InternalError(f"an execution ended with {type(reply).__name__}")
