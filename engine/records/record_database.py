"""The file that holds the records: made, recognised, locked; every fault of SQLite as a typed error."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

from engine.records.record_chain import start_of
from engine.records.sqlite_codes import SqliteCode, code_of
from protocol.errors import EngineError, InternalError, RecordStoreUnavailable, RecordStoreUnusable

APPLICATION_ID = 0x57654F53
SCHEMA_VERSION = 2
_BUSY_S = 5.0
"""How long a record waits for other processes, each of which holds the lock for a few milliseconds, or to prune."""
_SOON_S = 1.0
"""How long one waits who can go on without: to open the file, or to mark a beginning."""
_BUSY_PAUSE_S = 0.01

# The triggers stand against mistakes; against intent stands the chain.
_SCHEMA = """
CREATE TABLE chain (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    store_id TEXT NOT NULL,
    anchor_sequence INTEGER NOT NULL,
    anchor_hash TEXT NOT NULL,
    head_sequence INTEGER NOT NULL,
    head_hash TEXT NOT NULL
);
CREATE TABLE entries (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    execution_id TEXT UNIQUE,
    model TEXT,
    quantization TEXT,
    stop_reason TEXT,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    content TEXT NOT NULL,
    subject TEXT
);
CREATE INDEX entries_by_subject ON entries (kind, subject, sequence) WHERE subject IS NOT NULL;
CREATE TABLE unfinished (
    execution_id TEXT PRIMARY KEY,
    started_at TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid_namespace TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_ticks INTEGER NOT NULL,
    content TEXT NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
WHEN OLD.sequence > (SELECT anchor_sequence FROM chain)
BEGIN SELECT RAISE(ABORT, 'entries stay until they are pruned'); END;
CREATE TRIGGER entries_are_appended BEFORE INSERT ON entries
WHEN NEW.sequence IS NOT (SELECT head_sequence + 1 FROM chain)
BEGIN SELECT RAISE(ABORT, 'entries are appended'); END;
"""
_FROM_SCHEMA_1 = """
ALTER TABLE entries ADD COLUMN subject TEXT;
CREATE INDEX entries_by_subject ON entries (kind, subject, sequence) WHERE subject IS NOT NULL;
"""


class RecordDatabase:
    """One connection. Thread-safe: each read or write holds it alone."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, readable by its owner alone.

        Raises:
            RecordStoreUnusable: it is another program's, damaged, or of a newer engine. It is left as it was.
            RecordStoreUnavailable: it cannot be made, read or locked.
        """
        self.path = path
        self._lock = RLock()
        try:
            _make_file(path)
        except OSError as error:
            raise self._unavailable("unwritable", str(error)) from error
        with self._faults_are_typed():
            self._connection = _connect(path)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection; each statement sees the file as it is then."""
        with self._lock, self._faults_are_typed():
            yield self._connection

    @contextmanager
    def writing(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """A transaction under the write lock, all or nothing. It survives the end of this process, however that comes;
        a ``durable`` one, and all before it, survive the loss of power too."""
        with self._lock, self._faults_are_typed():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute(f"PRAGMA busy_timeout = {round(1e3 * (_BUSY_S if durable else _SOON_S))}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Another connection that sees the file as it is now until the end, and blocks no other."""
        with self._faults_are_typed():
            connection = _connect(self.path)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()

    def truncate_log(self) -> None:
        """Empty the write-ahead log, which may hold what was deleted, as far as readers permit."""
        with self._lock, self._faults_are_typed():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def damaged(self, reason: str) -> RecordStoreUnusable:
        """The error of a damaged database."""
        return self._unusable("damaged", f"{self.path} is damaged ({reason}); move it away, a new one will be made")

    def _prepare(self) -> None:
        if self._is_new_at_once():
            # Only before the first table; lets a prune give its space back.
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._log_ahead()
        if self._is_new_at_once():
            with self.writing(durable=True) as connection:
                if self._is_new():  # and not made by another process meanwhile
                    self._create(connection)
        if self._pragma("user_version") < SCHEMA_VERSION:
            with self.writing(durable=True) as connection:
                if self._pragma("user_version") == 1:  # and not brought up to date by another process meanwhile
                    self._bring_up_to_date(connection)

    def _is_new_at_once(self) -> bool:
        """Looks at one state of the file: another process may be making it."""
        self._connection.execute("BEGIN")
        try:
            return self._is_new()
        finally:
            with suppress(sqlite3.Error):  # SQLite may have ended it by itself
                self._connection.execute("ROLLBACK")

    def _is_new(self) -> bool:
        """Raises RecordStoreUnusable for a file that is not this engine's."""
        application_id, schema_version = self._pragma("application_id"), self._pragma("user_version")
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (application_id, schema_version, tables) == (0, 0, 0):
            return True
        if application_id != APPLICATION_ID:
            raise self._unusable("foreign", f"{self.path} is a database of another program")
        if schema_version > SCHEMA_VERSION:
            message = f"{self.path} was written by a newer engine (schema {schema_version}, known: {SCHEMA_VERSION})"
            raise self._unusable("newer_schema", message)
        if schema_version < 1:
            raise self.damaged(f"schema {schema_version}")
        return False

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _log_ahead(self) -> None:
        """Readers and a writer at once. Changing to it fails at once where another process does the same."""
        deadline = time.monotonic() + _SOON_S
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            except sqlite3.OperationalError as error:
                if code_of(error) != SqliteCode.BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_BUSY_PAUSE_S)
                continue
            if mode == "wal":
                return
            raise self._unavailable("file_system", "its file system does not let processes share it")

    def _create(self, connection: sqlite3.Connection) -> None:
        for statement in _statements(_SCHEMA):
            connection.execute(statement)
        store_id = secrets.token_hex(16)
        start = start_of(store_id)
        connection.execute("INSERT INTO chain VALUES (1, ?, 0, ?, 0, ?)", (store_id, start.hash, start.hash))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        """Entries stay as they are: those of schema 1 have no subject."""
        for statement in _statements(_FROM_SCHEMA_1):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _faults_are_typed(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._typed(error) from error

    def _typed(self, error: sqlite3.Error) -> EngineError:
        code = code_of(error)
        if code == SqliteCode.NOTADB:
            return self._unusable("foreign", f"{self.path} is no database, or its first bytes are damaged")
        if code in (SqliteCode.CORRUPT, SqliteCode.ERROR):  # the latter: a table or column is gone
            return self.damaged(str(error))
        if code in _UNAVAILABLE:
            return self._unavailable(_UNAVAILABLE[code], str(error))
        return InternalError(f"the records in {self.path}: {error}")

    def _unusable(self, kind: str, message: str) -> RecordStoreUnusable:
        return RecordStoreUnusable(message, path=str(self.path), reason=kind)

    def _unavailable(self, kind: str, reason: str) -> RecordStoreUnavailable:
        message = f"the records in {self.path} cannot be read or written now: {reason}"
        return RecordStoreUnavailable(message, path=str(self.path), reason=kind)


_UNAVAILABLE: dict[int, str] = {
    SqliteCode.FULL: "disk_full",
    SqliteCode.READONLY: "read_only",
    SqliteCode.PERM: "read_only",
    SqliteCode.CANTOPEN: "unwritable",
    SqliteCode.IOERR: "input_output",
    SqliteCode.BUSY: "busy",
    SqliteCode.LOCKED: "busy",
    SqliteCode.PROTOCOL: "busy",
    SqliteCode.NOMEM: "memory",
}


def _statements(script: str) -> Iterator[str]:
    """The script's statements: ``executescript`` would end the transaction it is called in."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _make_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Not opened here: closing it would drop the locks that SQLite holds on it elsewhere in this process.
    with suppress(FileExistsError):
        os.mknod(path, 0o600)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_SOON_S, isolation_level=None, check_same_thread=False)
    try:
        connection.text_factory = _text
        # A file from elsewhere may hold triggers and views that call functions.
        connection.execute("PRAGMA trusted_schema = OFF")
        # A statement that may be taken back keeps the pages it changes, and more than 64 KiB of them in a file of their
        # own, which a sandboxed engine may not make.
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def _text(encoded: bytes) -> str:
    """Whatever was written over the text, it can be read, hashed and found wrong."""
    return encoded.decode("utf-8", "surrogateescape")
