"""The chain of entries within one transaction: read, and appended to under the write lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from engine.records.record_chain import EntryColumns, StoredEntry, entry_hash, seal, storable
from engine.records.record_database import RecordDatabase
from protocol.record_entry import ChainPosition, timestamp

ENTRIES = (
    "SELECT sequence, previous, hash, content, kind, recorded_at, execution_id, model, quantization, stop_reason, "
    "subject FROM entries "
)
_APPEND = (
    "INSERT INTO entries "
    "(sequence, previous, hash, content, kind, recorded_at, execution_id, model, quantization, stop_reason, subject) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ABOUT = ENTRIES + "WHERE kind = ? AND subject = ? ORDER BY sequence"
_LAST = ENTRIES + "WHERE kind = ? AND subject = ? ORDER BY sequence DESC LIMIT 1"
_LAST_OF_EACH = (
    "WHERE kind = :kind AND subject IS NOT NULL AND sequence IN (SELECT max(sequence) FROM entries "
    "WHERE kind = :kind AND subject IS NOT NULL GROUP BY subject) ORDER BY subject"
)
_BEHIND = "SELECT previous FROM entries WHERE sequence > ? ORDER BY sequence LIMIT 1"
_CURRENT = ENTRIES + _LAST_OF_EACH
_NEWEST = ENTRIES + "WHERE kind = ? AND subject IS NOT NULL ORDER BY sequence DESC LIMIT ?"


class OpenChain:
    """A view of the chain that lasts as long as its transaction."""

    def __init__(self, connection: sqlite3.Connection, database: RecordDatabase, now: Callable[[], datetime]) -> None:
        self._connection = connection
        self._database = database
        self._now = now

    def ends(self) -> tuple[str, ChainPosition, ChainPosition]:
        """The store's name, where its chain starts and where it ends."""
        query = "SELECT store_id, anchor_sequence, anchor_hash, head_sequence, head_hash FROM chain"
        row = self._connection.execute(query).fetchone()
        try:
            store_id, anchor_sequence, anchor_hash, head_sequence, head_hash = row
            anchor = ChainPosition(sequence=anchor_sequence, hash=anchor_hash)
            return str(store_id), anchor, ChainPosition(sequence=head_sequence, hash=head_hash)
        except (TypeError, ValueError) as error:
            raise self._database.damaged("it does not say where its chain starts and ends") from error

    def append(self, **content: Any) -> StoredEntry:
        """Under the write lock: between reading the head and moving it there is no other writer."""
        head = self.ends()[2]
        entry = seal(head, {**content, "recorded_at": timestamp(self._now())})
        row = (entry.sequence, entry.previous, entry.hash, entry.content, *asdict(entry.columns).values())
        self._connection.execute(_APPEND, row)
        self._connection.execute("UPDATE chain SET head_sequence = ?, head_hash = ?", (entry.sequence, entry.hash))
        return entry

    def about(self, kind: str, subject: str) -> tuple[StoredEntry, ...]:
        """The entries of a kind about a subject, the oldest first."""
        return tuple(map(entry_of, self._connection.execute(_ABOUT, (kind, storable(subject))).fetchall()))

    def last(self, kind: str, subject: str) -> StoredEntry | None:
        """The newest entry of a kind about a subject, if there is one."""
        row = self._connection.execute(_LAST, (kind, storable(subject))).fetchone()
        return None if row is None else entry_of(row)

    def why_altered(self, entry: StoredEntry) -> str:
        """Why an entry is not what was sealed, though the rest of the chain be whole; empty: it is."""
        if entry_hash(entry.previous, entry.content) != entry.hash:
            return "its content is not what was hashed"
        row = self._connection.execute(_BEHIND, (entry.sequence,)).fetchone()
        follows = self.ends()[2].hash if row is None else row[0]
        return "" if follows == entry.hash else f"the chain goes on from {follows}, and its hash is {entry.hash}"

    def newest(self, kind: str, limit: int) -> tuple[StoredEntry, ...]:
        """The entries of a kind that has subjects, the newest first."""
        return tuple(map(entry_of, self._connection.execute(_NEWEST, (kind, limit)).fetchall()))

    def current(self, kind: str) -> tuple[StoredEntry, ...]:
        """The newest entry of a kind about each subject, by subject."""
        return tuple(map(entry_of, self._connection.execute(_CURRENT, {"kind": kind}).fetchall()))


def entry_of(row: tuple[Any, ...]) -> StoredEntry:
    """The entry in a row of :data:`ENTRIES`."""
    sequence, *texts = row[:4]
    # SQLite keeps any type in any column; what is no text is as wrong as a wrong text.
    previous, hashed, content = (text if isinstance(text, str) else repr(text) for text in texts)
    return StoredEntry(sequence, previous, hashed, content, EntryColumns(*row[4:]))
