"""The execution records of a machine's user: append-only, chained by hashes, shared by every process that runs any.

An execution is marked as unfinished when it begins, with who runs it. Its record, sealed into the chain, replaces the
mark in one transaction; where its process ended first, the next start of an engine seals an entry that says so.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from engine.host.process_identity import ProcessIdentity, current_process, is_running
from engine.identity.build import current_build
from engine.identity.version import ENGINE_VERSION
from engine.planned_execution import PlannedExecution
from engine.records.named_plan_entries import carry_named_plans
from engine.records.open_chain import ENTRIES, OpenChain, entry_of
from engine.records.record_chain import ChainCheck, StoredEntry, canonical_json, removed_before, storable
from engine.records.record_database import RecordDatabase
from protocol.errors import InternalError, InvalidRequest, RecordUnreadable, UnknownExecution
from protocol.record import ExecutionRecord
from protocol.record_entry import (
    ChainPosition,
    ChainReport,
    InterruptedExecution,
    RecordFilter,
    Timestamp,
    UnfinishedExecution,
    timestamp,
)

MAX_PAGE = 1000
"""Entries of one page: what is held in memory."""
_ANY = RecordFilter()
_NEWEST = 2**63 - 1
_PAGE = ENTRIES + (
    "WHERE execution_id IS NOT NULL AND sequence < :before "
    "AND (:model IS NULL OR model = :model) AND (:quantization IS NULL OR quantization = :quantization) "
    "AND (:stop_reason IS NULL OR stop_reason = :stop_reason) "
    "AND (:since IS NULL OR recorded_at >= :since) AND (:until IS NULL OR recorded_at < :until) "
    "ORDER BY sequence DESC LIMIT :limit"
)
_BEGIN = (
    "INSERT INTO unfinished (execution_id, started_at, boot_id, pid_namespace, pid, started_ticks, content) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_UNFINISHED = (
    "SELECT boot_id, pid_namespace, pid, started_ticks, content, execution_id, started_at "
    "FROM unfinished ORDER BY started_at"
)
_REMOVED = (
    "SELECT count(execution_id), min(sequence), min(recorded_at), max(recorded_at) FROM entries WHERE sequence <= ?"
)
_PRUNINGS = ENTRIES + "WHERE kind = 'pruned' ORDER BY sequence"
_LAST_BEFORE = (
    "SELECT sequence, hash FROM entries WHERE execution_id IS NOT NULL "
    "AND sequence < coalesce((SELECT min(sequence) FROM entries WHERE recorded_at >= ?), 9223372036854775807) "
    "ORDER BY sequence DESC LIMIT 1"
)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class RecordStore:
    """Blocking; safe for threads, and for processes that share the file.

    Every method raises RecordStoreUnusable (the file is damaged) and RecordStoreUnavailable (full, read-only, locked
    for long); a write that raises has changed nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = _now,
        owner: ProcessIdentity | None = None,
        owner_is_running: Callable[[ProcessIdentity], bool] = is_running,
    ) -> None:
        """Open the store, made where there is none. ``owner`` is this process where it is not given.

        Raises:
            RecordStoreUnusable: the file is another program's, damaged, or of a newer engine; it is left as it was.
            RecordStoreUnavailable: it cannot be made, read or locked.
        """
        self._now = now
        self._owner = owner or current_process()
        self._owner_is_running = owner_is_running
        self._database = RecordDatabase(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database. Idempotent."""
        self._database.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(self, execution_id: str, planned: PlannedExecution, started_at: datetime) -> None:
        """Mark an execution as unfinished and this process as its owner. ``started_at`` names its time zone.

        The mark survives the end of the process at once, the loss of power only with the next record of anyone.

        Raises:
            InternalError: there is an execution of that id.
        """
        unfinished = InterruptedExecution(
            execution_id=execution_id,
            engine_version=ENGINE_VERSION,
            build=current_build(),
            plan=planned.plan,
            plan_fingerprint=planned.fingerprint,
            prompt_token_ids=planned.prompt_token_ids,
            named_plan=planned.named_plan,
            experiment=planned.experiment,
        )
        content = canonical_json(unfinished.model_dump(mode="json"))
        owner = self._owner
        identity = (owner.boot_id, owner.pid_namespace, owner.pid, owner.started_ticks)
        row = (storable(execution_id), timestamp(started_at), *identity, content)
        with self._database.writing(durable=False) as connection:
            _require_no_entry(connection, execution_id)
            if _has_begun(connection, execution_id):
                raise InternalError(f"the execution {execution_id!r} has begun already", execution_id=execution_id)
            connection.execute(_BEGIN, row)

    def finish(self, record: ExecutionRecord) -> StoredEntry:
        """Seal the record into the chain in place of the execution's mark. On return it survives the loss of power.

        One that was never begun here is sealed too, without the time of its start.

        Raises:
            InternalError: the execution has an entry already.
        """
        content = record.model_dump(mode="json")
        with self._database.writing(durable=True) as connection:
            _require_no_entry(connection, record.execution_id)
            started_at = _take_mark(connection, record.execution_id)
            return self._open(connection).append(kind="finished", started_at=started_at, record=content)

    def recover(self) -> tuple[StoredEntry, ...]:
        """Seal an ``interrupted`` entry for every unfinished execution whose process has ended."""
        with self._database.reading() as connection:
            if connection.execute("SELECT 1 FROM unfinished").fetchone() is None:
                return ()
        with self._database.writing(durable=True) as connection:
            marks = connection.execute(_UNFINISHED).fetchall()
            ended = [mark for mark in marks if not self._owner_is_running(self._identity(mark[:4]))]
            return tuple(self._interrupted(connection, content, execution_id) for *_, content, execution_id, _ in ended)

    def _past(self, recorded_before: datetime) -> Timestamp:
        moment, now = timestamp(recorded_before), timestamp(self._now())
        if moment > now:
            raise InvalidRequest(
                f"{moment} has not come; give a moment of the past", field="recorded_before", value=moment, now=now
            )
        return moment

    def prunable(self, recorded_before: datetime) -> int:
        """How many executions :meth:`prune` would remove. Raises what it raises."""
        moment = self._past(recorded_before)
        with self._database.reading() as connection:
            last = connection.execute(_LAST_BEFORE, (moment,)).fetchone()
            return 0 if last is None else int(connection.execute(_REMOVED, last[:1]).fetchone()[0])

    def prune(self, recorded_before: datetime) -> int:
        """Remove the oldest entries, up to the first recorded at ``recorded_before`` or later; how many executions.

        An entry in the chain says what was removed, and the chain starts behind it from then on. The newest version of
        every named plan stays, written anew where it was among them.

        Raises:
            InvalidRequest: the moment has not come, so that what is yet to be recorded would be named.
        """
        moment = self._past(recorded_before)
        with self._database.writing(durable=True) as connection:
            last = connection.execute(_LAST_BEFORE, (moment,)).fetchone()
            if last is None:
                return 0
            connection.execute("PRAGMA secure_delete = ON")
            count, first, oldest, newest = connection.execute(_REMOVED, last[:1]).fetchone()
            earlier = removed_before(map(entry_of, connection.execute(_PRUNINGS).fetchall()))
            self._open(connection).append(
                kind="pruned",
                first_sequence=first,
                through_sequence=last[0],
                through_hash=last[1],
                recorded_from=oldest,
                recorded_to=newest,
                executions_removed=count,
                executions_removed_total=None if earlier is None else earlier + count,
            )
            carry_named_plans(self._open(connection), last[0])
            connection.execute("UPDATE chain SET anchor_sequence = ?, anchor_hash = ?", last)
            connection.execute("DELETE FROM entries WHERE sequence <= ?", last[:1])
            for _ in range(connection.execute("PRAGMA freelist_count").fetchone()[0]):
                connection.execute("PRAGMA incremental_vacuum")  # a page at each call
        self._database.truncate_log()
        return int(count)

    def _interrupted(self, connection: sqlite3.Connection, content: str, execution_id: str) -> StoredEntry:
        """What was written is sealed as it is: it may be another version's."""
        try:
            record = json.loads(content)
            started_at = _take_mark(connection, execution_id)
            return self._open(connection).append(kind="interrupted", started_at=started_at, record=record)
        except (ValueError, TypeError, KeyError) as error:
            raise self._database.damaged(f"the mark of {execution_id}: {error}") from error

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, execution_id: str) -> StoredEntry:
        """Raises UnknownExecution; ``params["unfinished"]`` says whether it has begun."""
        with self._database.reading() as connection:
            begun = _has_begun(connection, execution_id)  # first: it may finish in between
            row = connection.execute(ENTRIES + "WHERE execution_id = ?", (storable(execution_id),)).fetchone()
        if row is None:
            state = "has not finished" if begun else "is not in the records"
            raise UnknownExecution(f"{execution_id!r} {state}", execution_id=execution_id, unfinished=begun)
        return entry_of(row)

    def page(
        self, wanted: RecordFilter = _ANY, *, limit: int = 50, before: int | None = None
    ) -> tuple[StoredEntry, ...]:
        """Executions, the newest first; the next page is ``before`` the last one's sequence.

        ``limit``: 1 to 1000, else ValueError.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"a page has 1 to {MAX_PAGE} entries, not {limit}")
        values = {
            **wanted.model_dump(),
            "model": None if wanted.model is None else storable(wanted.model),
            "before": _NEWEST if before is None else before,
            "limit": limit,
        }
        with self._database.reading() as connection:
            rows = connection.execute(_PAGE, values).fetchall()
        return tuple(entry_of(row) for row in rows)

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """What has begun and has no entry yet, in the order of beginning. Raises RecordUnreadable."""
        with self._database.reading() as connection:
            marks = connection.execute(_UNFINISHED).fetchall()
        return tuple(self._unfinished(self._identity(mark[:4]), mark[4], mark[6]) for mark in marks)

    def _unfinished(self, owner: ProcessIdentity, content: str, started_at: str) -> UnfinishedExecution:
        try:
            execution = InterruptedExecution.model_validate_json(content)
        except ValueError as error:
            raise RecordUnreadable(f"an unfinished execution cannot be read: {error}", pid=owner.pid) from error
        running = self._owner_is_running(owner)
        return UnfinishedExecution(started_at=started_at, pid=owner.pid, running=running, execution=execution)

    # --- the chain ---------------------------------------------------------------------------------------------------

    def head(self) -> ChainPosition:
        """Where the chain ends now: written down elsewhere, it is a witness for :meth:`verify_chain`."""
        with self._database.reading() as connection:
            return self._open(connection).ends()[2]

    def verify_chain(self, witness: ChainPosition | None = None) -> ChainReport:
        """Read the whole chain, as it is at this moment, and tell the first place where it is broken.

        ``witness``: a head that was written down earlier, which the chain must still hold.
        """
        with self._database.snapshot() as connection:
            store_id, anchor, head = self._open(connection).ends()
            rows = connection.execute(ENTRIES + "ORDER BY sequence")
            return ChainCheck(store_id, anchor, witness).report(map(entry_of, rows), head)

    @contextmanager
    def transaction(self) -> Iterator[OpenChain]:
        """The chain under the write lock: what is appended within survives the loss of power, all of it or nothing."""
        with self._database.writing(durable=True) as connection:
            yield self._open(connection)

    @contextmanager
    def reading(self) -> Iterator[OpenChain]:
        """The chain to read; each question sees it as it is then."""
        with self._database.reading() as connection:
            yield self._open(connection)

    def _open(self, connection: sqlite3.Connection) -> OpenChain:
        return OpenChain(connection, self._database, self._now)

    def _identity(self, row: tuple[Any, ...]) -> ProcessIdentity:
        boot_id, pid_namespace, pid, started_ticks = row
        if not (isinstance(pid, int) and isinstance(started_ticks, int) and 0 < pid < 2**31):
            raise self._database.damaged(f"there is no process {pid!r}")
        return ProcessIdentity(str(boot_id), str(pid_namespace), pid, started_ticks)


def _require_no_entry(connection: sqlite3.Connection, execution_id: str) -> None:
    query = "SELECT 1 FROM entries WHERE execution_id = ?"
    if connection.execute(query, (storable(execution_id),)).fetchone() is not None:
        raise InternalError(f"the execution {execution_id!r} is recorded already", execution_id=execution_id)


def _has_begun(connection: sqlite3.Connection, execution_id: str) -> bool:
    query = "SELECT 1 FROM unfinished WHERE execution_id = ?"
    return connection.execute(query, (storable(execution_id),)).fetchone() is not None


def _take_mark(connection: sqlite3.Connection, execution_id: str) -> str | None:
    """Removes the mark; when the execution started."""
    key = (storable(execution_id),)
    row = connection.execute("SELECT started_at FROM unfinished WHERE execution_id = ?", key).fetchone()
    connection.execute("DELETE FROM unfinished WHERE execution_id = ?", key)
    return None if row is None else str(row[0])
