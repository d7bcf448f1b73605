"""The user's execution records, or what there is instead where they cannot be kept."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

from engine.planned_execution import PlannedExecution
from engine.records.experiment_entries import recover_experiments
from engine.records.record_store import RecordStore
from protocol.errors import RecordStoreUnavailable, RecordStoreUnusable
from protocol.record import ExecutionRecord

FILE_NAME = "records.sqlite"


class Records:
    """A store that is opened once; where it could not be, every use raises why, or tries again where the cause may have
    passed. Blocking; thread-safe."""

    def __init__(self, directory: Path) -> None:
        """Opens the store, and seals what ended with its process. Raises nothing."""
        self.path = directory / FILE_NAME
        self._lock = Lock()
        self._closed = False
        self._unusable: RecordStoreUnusable | None = None
        self._store: RecordStore | None = None
        with suppress(RecordStoreUnavailable, RecordStoreUnusable):
            self._opened()

    @property
    def store(self) -> RecordStore:
        """Raises RecordStoreUnavailable, RecordStoreUnusable."""
        with self._lock:
            return self._opened()

    def _opened(self) -> RecordStore:
        if self._closed:
            raise RecordStoreUnavailable(f"{self.path} has been closed", path=str(self.path), reason="closed")
        if self._unusable is not None:
            raise self._unusable.with_traceback(None)  # without the frames of earlier times
        if self._store is None:
            try:
                self._store = _recovered(self.path)
            except RecordStoreUnusable as error:
                self._unusable = error
                raise
        return self._store

    def begin(self, execution_id: str, planned: PlannedExecution, started_at: datetime) -> None:
        """See :meth:`RecordStore.begin`."""
        self.store.begin(execution_id, planned, started_at)

    def finish(self, record: ExecutionRecord) -> None:
        """See :meth:`RecordStore.finish`."""
        self.store.finish(record)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._closed = True
            if self._store is not None:
                self._store.close()
                self._store = None


def _recovered(path: Path) -> RecordStore:
    store = RecordStore(path)
    try:
        store.recover()
        recover_experiments(store)
    except BaseException:
        store.close()
        raise
    return store
