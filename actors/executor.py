"""Carries admitted executions out on the backend.

Owns        the backend, and which sequence is which execution
Receives    Start, Halt from the scheduler; from below, the backend's events through its file descriptor
Sends       Preparing, Started, StartFailed, Halted, Advanced to the control plane; SlotFreed to the scheduler
Fails when  the backend breaks its contract: anything but a typed error from load or submit, any error from drain
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import assert_never

import trio

from actors.base import Actor, Inbox
from actors.messages import (
    Advance,
    Advanced,
    ControlEvent,
    ExecutorRequest,
    Halt,
    Halted,
    Preparing,
    SlotFreed,
    Start,
    Started,
    StartFailed,
)
from actors.operations import carry_out
from engine.backend import Backend, LoadedModel, SequenceEvents
from engine.operation import Operation
from protocol.errors import EngineError, ExecutionCancelled, OutOfMemoryBudget
from protocol.plan import ExecutionPlan
from protocol.progress import StageProgress

WeightsKey = tuple[str, str, str]
"""(content hash, quantization, backend): plans equal in these share weights."""


@dataclass(slots=True)
class _Loading:
    """Weights that are being made ready, and the executions that wait for them."""

    operation: Operation[LoadedModel]
    starts: dict[str, Start] = field(default_factory=dict)
    since_ns: int = field(default_factory=time.monotonic_ns)


class Executor(Actor):
    def __init__(
        self,
        above: Inbox[ExecutorRequest],
        control_plane: Inbox[ControlEvent],
        scheduler: Inbox[SlotFreed],
        backend: Backend,
    ) -> None:
        self._above = above
        self._control_plane = control_plane
        self._scheduler = scheduler
        self._backend = backend
        self._loading: dict[WeightsKey, _Loading] = {}
        self._sequence_ids = count(1)
        self._sequences: dict[str, int] = {}
        self._executions: dict[int, str] = {}

    def start_tasks(self) -> None:
        self.serve(self._above, self._on_request)
        self.nursery.start_soon(self._forward_events)

    def close(self) -> None:
        self._backend.close()

    async def _on_request(self, request: ExecutorRequest) -> None:
        match request:
            case Start():
                await self._start(request)
            case Halt():
                await self._halt(request.execution_id)
            case _:
                assert_never(request)

    async def _start(self, request: Start) -> None:
        key = _weights_key(request.plan)
        if key in self._loading:
            self._loading[key].starts[request.execution_id] = request
        elif not await self._start_at_once(request):
            operation = self._backend.load(request.plan)
            self._loading[key] = _Loading(operation, {request.execution_id: request})
            self.nursery.start_soon(self._load, key)

    async def _start_at_once(self, request: Start) -> bool:
        """Whether the weights were ready, and there was memory beside them."""
        model = self._backend.loaded(request.plan)
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

    async def _load(self, key: WeightsKey) -> None:
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

    async def _load_again(self, key: WeightsKey) -> None:
        """Some came after all that waited before were halted, and the load with them."""
        starts = self._loading.pop(key).starts
        for request in starts.values():
            await self._start(request)

    async def _fail_all(self, key: WeightsKey, error: EngineError) -> None:
        starts = self._loading[key].starts
        while starts:
            await self._fail(_pop_first(starts).execution_id, error)
        del self._loading[key]

    async def _tell_progress(self, loading: _Loading, progress: StageProgress) -> None:
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
            load_start_ns=load_start_ns,
            load_end_ns=load_end_ns,
        )
        try:
            self._backend.submit(
                sequence_id,
                model,
                request.prompt_token_ids,
                request.plan,
                prefill_rank=request.prefill_rank,
                prefill_share=request.prefill_share,
            )
        except OutOfMemoryBudget:
            raise
        except EngineError as error:
            await self._fail(request.execution_id, error)
            return
        self._sequences[request.execution_id] = sequence_id
        self._executions[sequence_id] = request.execution_id
        await self._control_plane.put(started)

    async def _fail(self, execution_id: str, error: EngineError) -> None:
        failure = StartFailed(execution_id=execution_id, code=error.code, message=error.message, params=error.params)
        await self._control_plane.put(failure)
        await self._scheduler.put(SlotFreed(execution_id=execution_id))

    async def _halt(self, execution_id: str) -> None:
        for loading in self._loading.values():
            if loading.starts.pop(execution_id, None) is not None:
                if not loading.starts:
                    loading.operation.cancel()
                await self._control_plane.put(Halted(execution_id=execution_id))
                await self._scheduler.put(SlotFreed(execution_id=execution_id))
                return
        sequence_id = self._sequences.get(execution_id)
        if sequence_id is not None:
            self._backend.cancel(sequence_id)

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
            for events in drained:
                if events.stop_reason is not None:
                    await self._free(events)

    async def _free(self, events: SequenceEvents) -> None:
        execution_id = self._executions.pop(events.sequence_id)
        del self._sequences[execution_id]
        await self._scheduler.put(SlotFreed(execution_id=execution_id))


def _weights_key(plan: ExecutionPlan) -> WeightsKey:
    return (plan.model_ref.content_hash, plan.quantization, plan.backend)


def _pop_first(starts: dict[str, Start]) -> Start:
    return starts.pop(next(iter(starts)))
