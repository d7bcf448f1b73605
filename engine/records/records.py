"""The user's execution records, or what there is instead where they cannot be kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from engine.planned_execution import PlannedExecution
from engine.records.experiment_entries import recover_experiments
from engine.records.record_store import RecordStore
from protocol.errors import RecordStoreUnavailable, RecordStoreUnusable
from protocol.record import ExecutionRecord

FILE_NAME = "records.sqlite"


class Records:
    """A store that is opened once; where it could not be, every use raises why. Blocking; thread-safe."""

    def __init__(self, directory: Path) -> None:
        """Opens the store, and seals what ended with its process. Raises nothing."""
        self.path = directory / FILE_NAME
        self._failure: RecordStoreUnavailable | RecordStoreUnusable | None = None
        self._store: RecordStore | None = None
        try:
            self._store = RecordStore(self.path)
            self._store.recover()
            recover_experiments(self._store)
        except (RecordStoreUnavailable, RecordStoreUnusable) as error:
            self._failure = error

    @property
    def store(self) -> RecordStore:
        """Raises RecordStoreUnavailable, RecordStoreUnusable."""
        if self._failure is not None:
            raise self._failure
        if self._store is None:
            raise RecordStoreUnavailable(f"{self.path} has been closed", path=str(self.path), reason="closed")
        return self._store

    def begin(self, execution_id: str, planned: PlannedExecution, started_at: datetime) -> None:
        """See :meth:`RecordStore.begin`."""
        self.store.begin(execution_id, planned, started_at)

    def finish(self, record: ExecutionRecord) -> None:
        """See :meth:`RecordStore.finish`."""
        self.store.finish(record)

    def close(self) -> None:
        """Idempotent."""
        if self._store is not None:
            self._store.close()
            self._store = None
