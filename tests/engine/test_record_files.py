"""Files that are no store of records, or cannot be one now: refused by a typed error, and left alone."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from engine.records.record_database import RecordDatabase
from engine.records.record_store import RecordStore
from engine.records.records import FILE_NAME, Records
from protocol.errors import RecordStoreUnavailable, RecordStoreUnusable
from tests.engine.record_factory import begin, open_store, run, tampering
from tests.tools.executions import make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "records.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[RecordStore]:
    with open_store(path) as opened:
        yield opened


def test_only_its_owner_may_read_it(store: RecordStore, path: Path) -> None:
    run(store, "one")
    files = list(path.parent.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_no_statement_needs_a_file_beside_the_stores_own(path: Path) -> None:
    """A sandboxed engine may make none. SQLite keeps what one statement changes in such a file once it is 64 KiB."""
    program = """
import os, resource, sys
from pathlib import Path
from engine.records.record_database import RecordDatabase
database = RecordDatabase(Path(sys.argv[1]))
with database.writing(durable=False) as connection:
    connection.execute("CREATE TABLE wide (number INTEGER UNIQUE, text TEXT)")
    connection.executemany("INSERT INTO wide VALUES (?, ?)", ((number, "x" * 1000) for number in range(1000)))
opened = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (opened - 1, opened - 1))
with database.writing(durable=False) as connection:
    connection.execute("UPDATE wide SET number = number + 1000")
"""
    path.parent.mkdir()
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_is_made_once_however_many_open_it(tmp_path: Path) -> None:
    def open_and_run(name: str, path: Path, together: Barrier) -> None:
        together.wait()
        with open_store(path) as store:
            run(store, name)

    with ThreadPoolExecutor(6) as pool:
        for attempt in range(10):
            path, together = tmp_path / f"{attempt}.sqlite", Barrier(6)
            for done in [pool.submit(open_and_run, name, path, together) for name in "abcdef"]:
                done.result()
            with open_store(path) as store:
                report = store.verify_chain()
                assert (report.fault, report.entries) == (None, 6)


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be taken for the header of one" * 20, b"short"]
)
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(RecordStoreUnusable, match="no database") as refused:
        open_store(path)
    assert refused.value.params["reason"] == "foreign"
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (anything)")
    content = path.read_bytes()
    with pytest.raises(RecordStoreUnusable, match="another program") as refused:
        open_store(path)
    assert refused.value.params == {"path": str(path), "reason": "foreign"}
    assert path.read_bytes() == content


def test_a_newer_engines_store_is_refused_and_left_alone(path: Path) -> None:
    with open_store(path) as store:
        run(store, "one")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(RecordStoreUnusable, match="newer engine") as refused:
        open_store(path)
    assert refused.value.params["reason"] == "newer_schema"


def test_an_earlier_engines_store_is_brought_up_to_date_and_keeps_its_chain(path: Path) -> None:
    with open_store(path) as store:
        run(store, "one")
        head = store.head()
    with closing(sqlite3.connect(path)) as connection:  # as schema 1 was
        connection.execute("DROP INDEX entries_by_subject")
        connection.execute("ALTER TABLE entries DROP COLUMN subject")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with open_store(path) as store:
        run(store, "two")
        assert store.verify_chain(head).fault is None
        assert [entry.columns.execution_id for entry in store.page()] == ["two", "one"]


def test_a_damaged_store_is_told(path: Path) -> None:
    with open_store(path) as store:
        run(store, *(f"{n}" for n in range(30)))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(RecordStoreUnusable) as refused, open_store(path) as store:
        store.verify_chain()
    assert refused.value.params["reason"] == "damaged"


@pytest.mark.parametrize("damage", ["DELETE FROM chain", "DROP TABLE entries", "UPDATE chain SET head_sequence = 'x'"])
def test_a_store_without_its_parts_is_damaged(store: RecordStore, path: Path, damage: str) -> None:
    run(store, "one")
    with tampering(path) as connection:
        connection.execute(damage)
    for use in (store.verify_chain, lambda: run(store, "two")):
        with pytest.raises(RecordStoreUnusable) as refused:
            use()
        assert refused.value.params["reason"] == "damaged"


def test_a_mark_of_no_process_is_damage(store: RecordStore, path: Path) -> None:
    begin(store, "one")
    for pid in ("'x'", "-1", "0", "99999999999"):
        with tampering(path) as connection:
            connection.execute(f"UPDATE unfinished SET pid = {pid}")  # noqa: S608
        with pytest.raises(RecordStoreUnusable, match="no process"):
            store.recover()


def test_a_place_where_no_file_can_be_is_told() -> None:
    with pytest.raises(RecordStoreUnavailable) as refused:
        open_store(Path("/proc/records.sqlite"))
    assert refused.value.params["reason"] == "unwritable"


@contextmanager
def without_root() -> Iterator[None]:
    """Root may write what it may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_store_takes_nothing() -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path, whose parents others may not enter
    try:
        path = folder / "records.sqlite"
        with open_store(path) as store:
            run(store, "one")
        path.chmod(0o444)
        folder.chmod(0o555)
        with without_root(), pytest.raises(RecordStoreUnavailable) as refused, open_store(path) as store:
            begin(store, "two")
        assert refused.value.params["reason"] in {"read_only", "unwritable"}
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_a_full_disk_loses_only_what_did_not_fit(store: RecordStore, path: Path) -> None:
    run(store, "one")
    begin(store, "two")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (written + 10_000, limits[1]))
    try:
        with pytest.raises(RecordStoreUnavailable):
            store.finish(make_record(execution_id="two", result="x" * 100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [mark.execution.execution_id for mark in store.unfinished()] == ["two"]
    store.finish(make_record(execution_id="two"))
    assert [entry.columns.execution_id for entry in store.page(limit=1000)] == ["two", "one"]
    assert store.verify_chain().fault is None


def test_a_store_that_stays_locked_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.records.record_database._SOON_S", 0.05)
    with open_store(path) as store, closing(sqlite3.connect(path)) as other:
        run(store, "one")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RecordStoreUnavailable) as refused:
            begin(store, "two")
        assert refused.value.params["reason"] == "busy"
        assert len(store.page()) == 1, "readers do not wait"
        other.rollback()
        run(store, "two")


def test_a_full_file_is_told_by_its_name(path: Path) -> None:
    database = RecordDatabase(path)
    with database.reading() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RecordStoreUnavailable) as refused, database.writing(durable=True) as connection:
        connection.execute("UPDATE chain SET store_id = ?", ("x" * 100_000,))
    assert refused.value.params["reason"] == "disk_full"
    database.close()


def test_a_store_that_is_locked_at_the_start_is_used_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.records.record_database._SOON_S", 0.05)
    Records(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        records = Records(tmp_path)
        with pytest.raises(RecordStoreUnavailable) as refused:
            records.finish(make_record())
        assert refused.value.params["reason"] == "busy"
    records.finish(make_record())
    assert len(records.store.page()) == 1
    records.close()
    with pytest.raises(RecordStoreUnavailable, match="has been closed"):
        records.finish(make_record(execution_id="two"))
