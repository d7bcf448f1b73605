"""Makes stores of records with a clock and owners of their own, and executions to put in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from engine.host.process_identity import ProcessIdentity
from engine.records.record_store import RecordStore
from protocol.metrics import EnergyReport
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord
from tests.tools.executions import make_metrics, make_plan, make_planned, make_record

START = datetime(2030, 1, 1, tzinfo=timezone.utc)
ALICE = ProcessIdentity("boot", "pid:[1]", 100, 7)
BOB = ProcessIdentity("boot", "pid:[1]", 200, 9)


class Clock:
    """A clock that is a second later at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return START + timedelta(seconds=self.looks)


class Processes:
    """Those that live."""

    def __init__(self, *living: ProcessIdentity) -> None:
        self.living = set(living)

    def __call__(self, process: ProcessIdentity) -> bool:
        return process in self.living


def open_store(
    path: Path, owner: ProcessIdentity = ALICE, processes: Processes | None = None, clock: Clock | None = None
) -> RecordStore:
    return RecordStore(path, owner=owner, owner_is_running=processes or Processes(owner), now=clock or Clock())


def begin(store: RecordStore, execution_id: str) -> None:
    store.begin(execution_id, make_planned(), START)


def run(store: RecordStore, *execution_ids: str, **changes: Any) -> None:
    """Begins and finishes each."""
    for execution_id in execution_ids:
        begin(store, execution_id)
        store.finish(make_record(execution_id=execution_id, **changes))


def plan_with(**changes: Any) -> ExecutionPlan:
    """The usual plan with some fields changed; of ``limits__max_tokens`` the one in the group."""
    plan = make_plan()
    for name, value in changes.items():
        group, _, field = name.partition("__")
        changed = getattr(plan, group).model_copy(update={field: value}) if field else value
        plan = plan.model_copy(update={group: changed})
    return plan


def record_with(plan: ExecutionPlan | None = None, **changes: Any) -> ExecutionRecord:
    plan = plan or make_plan()
    return make_record(plan=plan, plan_fingerprint=plan.fingerprint, **changes)


def measured(joules: float = 10.0, **changes: Any) -> EnergyReport:
    """The energy of an execution that had the machine to itself."""
    fields = {"kind": "measured", "source": "rapl", "attributed_j": joules, "contended": False}
    return EnergyReport(**{**fields, **changes})


def metrics(**changes: Any) -> Any:
    return make_metrics(**changes)


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The file in the hands of someone who may write it and knows SQL."""
    with closing(sqlite3.connect(path)) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        yield connection
        connection.commit()
