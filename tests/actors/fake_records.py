"""Records in memory, and a disk that can be full or slow."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from engine.planned_execution import PlannedExecution
from protocol.errors import RecordStoreUnavailable
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord


@dataclass
class FakeRecords:
    begun: dict[str, ExecutionPlan] = field(default_factory=dict)
    finished: list[ExecutionRecord] = field(default_factory=list)
    full: bool = False
    closed: bool = False

    def __post_init__(self) -> None:
        self.may_write = threading.Event()
        self.may_write.set()

    def begin(self, execution_id: str, planned: PlannedExecution, started_at: datetime) -> None:
        self._wait()
        self.begun[execution_id] = planned.plan

    def finish(self, record: ExecutionRecord) -> None:
        self._wait()
        self.finished.append(record)

    def close(self) -> None:
        self.closed = True

    def _wait(self) -> None:
        self.may_write.wait()
        if self.full:
            raise RecordStoreUnavailable("the disk is full", reason="full")
