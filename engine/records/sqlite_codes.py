"""SQLite's primary result codes, also on Python 3.10, whose sqlite3 gives errors none."""

from __future__ import annotations

import sqlite3
from enum import IntEnum
from typing import Final


class SqliteCode(IntEnum):
    """Result codes that the store of records tells apart, by SQLite's own names and numbers."""

    ERROR = 1
    """A statement that makes no sense for the tables there are."""
    PERM = 3
    BUSY = 5
    LOCKED = 6
    NOMEM = 7
    READONLY = 8
    IOERR = 10
    CORRUPT = 11
    FULL = 13
    CANTOPEN = 14
    PROTOCOL = 15
    NOTADB = 26


_PRIMARY: Final = 0xFF
"""The bits of an extended code that hold the primary one."""
_BEGINNINGS: Final = {
    "access permission denied": SqliteCode.PERM,
    "database is locked": SqliteCode.BUSY,
    "database table is locked": SqliteCode.LOCKED,
    "out of memory": SqliteCode.NOMEM,
    "attempt to write a readonly database": SqliteCode.READONLY,
    "disk I/O error": SqliteCode.IOERR,
    "database disk image is malformed": SqliteCode.CORRUPT,
    "malformed database schema": SqliteCode.CORRUPT,
    "database or disk is full": SqliteCode.FULL,
    "unable to open database file": SqliteCode.CANTOPEN,
    "locking protocol": SqliteCode.PROTOCOL,
    "file is not a database": SqliteCode.NOTADB,
}
"""SQLite's own words for its codes, which no version has changed."""


def code_of(error: sqlite3.Error) -> int | None:
    """The primary result code; ``None`` for one that is not listed, or for a fault in how SQLite was called."""
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    return _from_words(error) if extended is None else extended & _PRIMARY


def _from_words(error: sqlite3.Error) -> SqliteCode | None:
    words = str(error)
    known = next((code for beginning, code in _BEGINNINGS.items() if words.startswith(beginning)), None)
    # Only errors of statements have words of their own.
    return SqliteCode.ERROR if known is None and isinstance(error, sqlite3.OperationalError) else known
