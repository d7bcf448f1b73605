"""Carries admitted executions out on the backend.

Owns        the backend, and which sequence is which execution
Receives    Start, Halt from the scheduler; Pause, Resume from the energy sampler; from below, the backend's events
            through its file descriptor
Sends       Preparing, Started, StartFailed, Halted, Advanced to the control plane; SlotFreed to the scheduler
Fails when  the backend breaks its contract: anything but a typed error from submit, any error from drain. What was with
            it ends with ``error``. It is started again with a fresh backend, or else refuses whatever is admitted
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count

import trio
from typing_extensions import assert_never

from actors.base import Inbox, RestartableActor
from actors.faults import TellFault, summary
from actors.loading import Loading, LoadKey, load_key
from actors.messages import (
    Advance,
    Advanced,
    ControlEvent,
    ExecutorRequest,
    Halt,
    Halted,
    Pause,
    Preparing,
    Resume,
    SlotFreed,
    Start,
    Started,
    StartFailed,
)
from actors.operations import carry_out
from engine.backend import Backend, BackendStatistics, ComputeTimes, LoadedModel, SequenceEvents, TokenStream
from engine.host.client_socket import ClientSocket
from protocol.errors import BackendUnavailable, EngineError, ExecutionCancelled, InternalError, OutOfMemoryBudget
from protocol.progress import StageProgress
from protocol.summaries import PrefixCacheReport

_NO_BACKEND = BackendStatistics(
    sequences=0,
    kv_cache_bytes=0,
    prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
    work=None,
    models=(),
)


class Executor(RestartableActor):
    """The actor that drives the backend."""

    def __init__(
        self,
        above: Inbox[ExecutorRequest],
        control_plane: Inbox[ControlEvent],
        scheduler: Inbox[SlotFreed],
        backend: Backend,
        replace_backend: Callable[[], Backend],
        tell_fault: TellFault,
        client_socket: Callable[[int], ClientSocket | None],
    ) -> None:
        """``replace_backend`` opens a fresh one after the other failed and was closed; it raises where it cannot.
        ``client_socket``: of a connection, where tokens may be written to it beside the api server."""
        self._above = above
        self._control_plane = control_plane
        self._scheduler = scheduler
        self._backend = backend
        self._replace_backend = replace_backend
        self._tell_fault = tell_fault
        self._client_socket = client_socket
        self._loading: dict[LoadKey, Loading] = {}
        self._sequence_ids = count(1)
        self._sequences: dict[str, int] = {}
        self._executions: dict[int, str] = {}
        self._open_choices: dict[int, int] = {}
        """How many choices of each sequence have not ended."""
        self._slots: set[str] = set()
        """Executions whose slot the scheduler awaits."""
        self._untold: dict[str, None] = {}
        """Those of them, as they came, whose end the control plane awaits."""
        self._lost: tuple[str, ...] = ()
        self._failure = ""
        self._given_up = False

    def statistics(self) -> BackendStatistics:
        """The backend's statistics; zeros once it was given up."""
        return _NO_BACKEND if self._given_up else self._backend.statistics()

    def times_so_far(self) -> ComputeTimes[str]:
        """The computing time so far, by execution."""
        if self._given_up:
            return ComputeTimes(0, {})
        times = self._backend.times_so_far()
        of = {self._executions[number]: time for number, time in times.of.items() if number in self._executions}
        return ComputeTimes(times.busy_ns, of)

    def start_tasks(self) -> None:
        """Tell what a failure before cost, serve the inbox, and forward the backend's events."""
        self.nursery.start_soon(self._end_lost)
        if self._given_up:
            self.serve(self._above, self._refuse)
        else:
            self.serve(self._above, self._on_request)
            self.nursery.start_soon(self._forward_events)

    def recover(self, failure: str) -> None:
        """Forget the failed backend's executions and open another backend. Raises what opening raises."""
        self._forget(failure)
        self._backend = self._replace_backend()

    def give_up(self, failure: str) -> None:
        """Refuse every start from now on."""
        self._forget(failure)
        self._given_up = True

    def _forget(self, failure: str) -> None:
        self._failure = failure
        self._lost = tuple(self._slots)
        self._loading.clear()
        self._sequences.clear()
        self._executions.clear()
        self._open_choices.clear()

    async def _end_lost(self) -> None:
        """End what was with the backend that failed."""
        error = f"the backend failed: {self._failure}"
        events = SequenceEvents(sequence_id=0, choice=None, stop_reason="error", error=error)
        untold = [one for one in self._untold if one in self._lost]
        if untold:
            await self._control_plane.put(
                Advanced(advances=tuple(Advance(execution_id=one, events=events) for one in untold))
            )
            for execution_id in untold:
                del self._untold[execution_id]
        for execution_id in self._lost:
            await self._free(execution_id)

    async def _refuse(self, request: ExecutorRequest) -> None:
        if isinstance(request, Start):
            self._take(request.execution_id)
            reason = f"the backend failed ({self._failure}); start the engine again"
            await self._fail(request.execution_id, BackendUnavailable(reason, reason=self._failure))

    def _take(self, execution_id: str) -> None:
        self._slots.add(execution_id)
        self._untold[execution_id] = None

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()

    async def _on_request(self, request: ExecutorRequest) -> None:
        match request:
            case Start():
                await self._start(request)
            case Halt():
                await self._halt(request.execution_id)
            case Pause():
                self._with_sequence(request.execution_id, self._backend.pause)
            case Resume():
                self._with_sequence(request.execution_id, self._backend.resume)
            case _:
                assert_never(request)

    async def _start(self, request: Start) -> None:
        self._take(request.execution_id)
        key = load_key(request.planned.plan)
        if key in self._loading:
            self._loading[key].starts[request.execution_id] = request
        elif not await self._start_at_once(request):
            operation = self._backend.load(request.planned)
            self._loading[key] = Loading(operation, {request.execution_id: request})
            self.nursery.start_soon(self._load, key)

    async def _start_at_once(self, request: Start) -> bool:
        """Whether the weights were ready, and there was memory beside them."""
        model = self._backend.loaded(request.planned.plan)
        if model is None:
            return False
        now_ns = time.monotonic_ns()
        try:
            await self._submit(request, model, now_ns, now_ns)
        except OutOfMemoryBudget:
            return False
        finally:
            self._backend.release(model)
        return True

    async def _load(self, key: LoadKey) -> None:
        """Make weights ready and submit all that wait for them."""
        loading = self._loading[key]
        try:
            model = await carry_out(loading.operation, partial(self._tell_progress, loading))
        except ExecutionCancelled:
            await self._load_again(key)
            return
        except EngineError as error:
            await self._fail_all(key, error)
            return
        except Exception as error:  # only what waits for these weights depends on it
            self._tell_fault("load of weights", error, "answered")
            await self._fail_all(key, InternalError(f"the weights could not be made ready: {summary(error)}"))
            return
        loaded_ns = time.monotonic_ns()
        # One by one, and those still waiting stay where a halt finds them.
        while loading.starts:
            request = _pop_first(loading.starts)
            try:
                await self._submit(request, model, loading.since_ns, loaded_ns)
            except OutOfMemoryBudget as error:
                await self._fail(request.execution_id, error)
        self._backend.release(model)
        del self._loading[key]

    async def _load_again(self, key: LoadKey) -> None:
        """Some came after all that waited before were halted, and the load with them."""
        starts = self._loading.pop(key).starts
        for request in starts.values():
            await self._start(request)

    async def _fail_all(self, key: LoadKey, error: EngineError) -> None:
        starts = self._loading[key].starts
        while starts:
            await self._fail(_pop_first(starts).execution_id, error)
        del self._loading[key]

    async def _tell_progress(self, loading: Loading, progress: StageProgress) -> None:
        for execution_id in tuple(loading.starts):
            if execution_id in loading.starts:  # not halted while the others were told
                await self._control_plane.put(Preparing(execution_id=execution_id, progress=progress))

    async def _submit(self, request: Start, model: LoadedModel, load_start_ns: int, load_end_ns: int) -> None:
        """Raises OutOfMemoryBudget; any other refusal is told."""
        sequence_id = next(self._sequence_ids)
        started = Started(
            execution_id=request.execution_id,
            kernel_path=model.kernel_path,
            weights=model.origin,
            weights_bytes=model.weights_bytes,
            buffers_bytes=model.buffers_bytes(request.planned.plan),
            load_start_ns=load_start_ns,
            load_end_ns=load_end_ns,
        )
        try:
            self._backend.submit(
                sequence_id,
                model,
                request.planned,
                prefill_rank=request.prefill_rank,
                prefill_share=request.prefill_share,
                stream=self._stream(request),
            )
        except OutOfMemoryBudget:
            raise
        except EngineError as error:
            await self._fail(request.execution_id, error)
            return
        self._sequences[request.execution_id] = sequence_id
        self._executions[sequence_id] = request.execution_id
        self._open_choices[sequence_id] = request.planned.plan.n
        await self._control_plane.put(started)

    def _stream(self, request: Start) -> TokenStream | None:
        socket = self._client_socket(request.connection_id)
        return None if socket is None else TokenStream(socket, request.request_id, request.execution_id)

    async def _fail(self, execution_id: str, error: EngineError) -> None:
        failure = StartFailed(execution_id=execution_id, code=error.code, message=error.message, params=error.params)
        await self._control_plane.put(failure)
        del self._untold[execution_id]
        await self._free(execution_id)

    async def _halt(self, execution_id: str) -> None:
        for loading in self._loading.values():
            if loading.starts.pop(execution_id, None) is not None:
                if not loading.starts:
                    loading.operation.cancel()
                await self._control_plane.put(Halted(execution_id=execution_id))
                del self._untold[execution_id]
                await self._free(execution_id)
                return
        self._with_sequence(execution_id, self._backend.cancel)

    def _with_sequence(self, execution_id: str, act: Callable[[int], None]) -> None:
        """On an execution that has ended there is nothing to do."""
        sequence_id = self._sequences.get(execution_id)
        if sequence_id is not None:
            act(sequence_id)

    async def _forward_events(self) -> None:
        """One message for each drain, whatever it holds: the run loop has coalesced already."""
        while True:
            await trio.lowlevel.wait_readable(self._backend.event_fd)
            drained = self._backend.drain()
            if not drained:
                continue
            await self._control_plane.put(
                Advanced(
                    advances=tuple(
                        Advance(execution_id=self._executions[events.sequence_id], events=events) for events in drained
                    )
                )
            )
            ended = [self._executions.pop(events.sequence_id) for events in drained if self._ends_sequence(events)]
            for execution_id in ended:
                del self._untold[execution_id]
                del self._sequences[execution_id]
            for execution_id in ended:
                await self._free(execution_id)

    def _ends_sequence(self, events: SequenceEvents) -> bool:
        """Whether its last choice has ended with them."""
        if events.stop_reason is None:
            return False
        self._open_choices[events.sequence_id] -= 1
        if self._open_choices[events.sequence_id]:
            return False
        del self._open_choices[events.sequence_id]
        return True

    async def _free(self, execution_id: str) -> None:
        await self._scheduler.put(SlotFreed(execution_id=execution_id))
        self._slots.remove(execution_id)


def _pop_first(starts: dict[str, Start]) -> Start:
    return starts.pop(next(iter(starts)))
