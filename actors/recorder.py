"""Keeps the records of executions: a mark when one is accepted, its record before its client hears of the end.

Owns        the store of records
Receives    BeginRecord, FinishRecord from the control plane
Sends       Recorded to the control plane
Fails when  its thread cannot be had: whatever the store raises is told with the record that was not kept
"""

from __future__ import annotations

import trio
from typing_extensions import assert_never

from actors.base import Actor, Inbox
from actors.faults import TellFault, summary
from actors.messages import BeginRecord, ControlEvent, FinishRecord, Recorded, RecorderRequest
from actors.ports import RecordWriter
from protocol.errors import EngineError


class Recorder(Actor):
    """The actor that writes records."""

    def __init__(
        self,
        above: Inbox[RecorderRequest],
        control_plane: Inbox[ControlEvent],
        records: RecordWriter,
        tell_fault: TellFault,
    ) -> None:
        self._above = above
        self._control_plane = control_plane
        self._records = records
        self._tell_fault = tell_fault
        self._faults: list[Exception] = []
        self._thread = trio.CapacityLimiter(1)

    def start_tasks(self) -> None:
        """Write what comes."""
        self.nursery.start_soon(self._write)

    def close(self) -> None:
        """Close the store."""
        self._records.close()

    async def _write(self) -> None:
        """All that waits, in one trip to the worker thread: the disk is awaited there."""
        async for first in self._above:
            requests = [first, *self._above.take_waiting()]
            for told in await trio.to_thread.run_sync(self._write_all, requests, limiter=self._thread):
                await self._control_plane.put(told)
            while self._faults:
                self._tell_fault("store of records", self._faults.pop(0), "answered")

    def _write_all(self, requests: list[RecorderRequest]) -> list[Recorded]:
        written = [self._write_one(request) for request in requests]
        return [told for told in written if told is not None]

    def _write_one(self, request: RecorderRequest) -> Recorded | None:
        problem = ""
        try:
            match request:
                case BeginRecord():
                    self._records.begin(request.execution_id, request.planned, request.started_at)
                case FinishRecord():
                    self._records.finish(request.record)
                case _:
                    assert_never(request)
        except EngineError as error:
            problem = error.message
        except Exception as error:  # an execution does not fail for want of its record
            self._faults.append(error)
            problem = f"the store of records failed: {summary(error)}"
        if isinstance(request, BeginRecord):
            return None  # what keeps a mark from being written will keep the record from it, and is told then
        return Recorded(execution_id=request.record.execution_id, problem=problem)
