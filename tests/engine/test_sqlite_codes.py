"""SQLite's result codes, with and without what Python 3.11 and later put into the error."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.records.sqlite_codes import SqliteCode, code_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE some (value)")
    connection.close()
    return path


def fault_of(address: str, *statements: str) -> sqlite3.Error:
    with pytest.raises(sqlite3.Error) as raised:  # noqa: PT012  opening may fail, or any statement
        connection = sqlite3.connect(address, uri=True, timeout=0.0, isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement)
        finally:
            connection.close()
    return raised.value


def both_ways(error: sqlite3.Error) -> set[int | None]:
    """The code of the error, and of one that has its words alone."""
    return {code_of(error), code_of(type(error)(*error.args))}


def test_a_missing_table(database: Path) -> None:
    assert both_ways(fault_of(f"file:{database}", "SELECT * FROM other")) == {SqliteCode.ERROR}


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("words" * 1000)
    assert both_ways(fault_of(f"file:{path}", "SELECT * FROM some")) == {SqliteCode.NOTADB}


def test_a_damaged_database(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database.write_bytes(content)
    assert both_ways(fault_of(f"file:{database}", "SELECT * FROM some")) == {SqliteCode.CORRUPT}


def test_a_database_that_another_connection_writes(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert both_ways(fault_of(f"file:{database}", "BEGIN IMMEDIATE")) == {SqliteCode.BUSY}
    other.close()


def test_a_database_that_is_only_read(database: Path) -> None:
    assert both_ways(fault_of(f"file:{database}?mode=ro", "INSERT INTO some VALUES (1)")) == {SqliteCode.READONLY}


def test_a_database_that_has_grown_to_its_limit(database: Path) -> None:
    statements = ("PRAGMA max_page_count = 2", "INSERT INTO some VALUES (zeroblob(100000))")
    assert both_ways(fault_of(f"file:{database}", *statements)) == {SqliteCode.FULL}


def test_a_folder_that_is_opened(tmp_path: Path) -> None:
    assert both_ways(fault_of(f"file:{tmp_path}", "SELECT 1")) == {SqliteCode.CANTOPEN}


def test_a_fault_in_the_call_has_no_code() -> None:
    assert code_of(sqlite3.ProgrammingError("Cannot operate on a closed database.")) is None
