"""Carries admitted executions out on the backend.

Owns        the backend, the loaded weights, and which sequence is which execution
Receives    Start, Halt from the scheduler; from below, the backend's events through its file descriptor
Sends       Started, StartFailed, Halted, Advanced, ModelsLoaded to the control plane; SlotFreed to the scheduler
Fails when  the backend breaks its contract: anything but a typed error from load or submit, any error from drain
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
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
    ModelsLoaded,
    SlotFreed,
    Start,
    Started,
    StartFailed,
)
from engine.backend import Backend, LoadedModel, SequenceEvents
from protocol.errors import EngineError
from protocol.plan import ExecutionPlan

WeightsKey = tuple[str, str, str]
"""(content hash, quantization, backend): plans equal in these share weights."""


@dataclass(slots=True)
class _Waiting:
    """Executions that wait for the same weights."""

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
        self._models: dict[WeightsKey, tuple[str, LoadedModel]] = {}
        self._waiting: dict[WeightsKey, _Waiting] = {}
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
        loaded = self._models.get(key)
        if loaded is not None:
            now_ns = time.monotonic_ns()
            await self._submit(request, loaded[1], now_ns, now_ns)
        elif key in self._waiting:
            self._waiting[key].starts[request.execution_id] = request
        else:
            self._waiting[key] = _Waiting({request.execution_id: request})
            self.nursery.start_soon(self._load, key, request.plan)

    async def _load(self, key: WeightsKey, plan: ExecutionPlan) -> None:
        """Load weights and submit all that wait for them. A halt does not end it: the next execution will want them."""
        waiting = self._waiting[key]
        try:
            model = await trio.to_thread.run_sync(self._backend.load, plan, abandon_on_cancel=True)
        except EngineError as error:
            while waiting.starts:
                await self._fail(_pop_first(waiting.starts).execution_id, error)
            del self._waiting[key]
            return
        loaded_ns = time.monotonic_ns()
        self._models[key] = (plan.model_ref.name, model)
        await self._control_plane.put(
            ModelsLoaded(
                names=tuple(name for name, _ in self._models.values()),
                weights_bytes=sum(loaded.weights_bytes for _, loaded in self._models.values()),
            )
        )
        # One by one, and those still waiting stay where a halt finds them.
        while waiting.starts:
            await self._submit(_pop_first(waiting.starts), model, waiting.since_ns, loaded_ns)
        del self._waiting[key]

    async def _submit(self, request: Start, model: LoadedModel, load_start_ns: int, load_end_ns: int) -> None:
        sequence_id = next(self._sequence_ids)
        started = Started(
            execution_id=request.execution_id,
            kernel_path=model.kernel_path,
            weights=model.origin,
            load_start_ns=load_start_ns,
            load_end_ns=load_end_ns,
        )
        try:
            self._backend.submit(sequence_id, model, request.prompt_token_ids, request.plan, request.prefill_rank)
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
        for waiting in self._waiting.values():
            if waiting.starts.pop(execution_id, None) is not None:
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
                    ),
                    kv_cache_bytes=self._backend.statistics().kv_cache_bytes,
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
