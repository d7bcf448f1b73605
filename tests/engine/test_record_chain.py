"""Whatever is done to the entries behind the store's back shows, and where."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.record_chain import ChainCheck, StoredEntry, entry_hash, seal, start_of
from engine.records.record_store import RecordStore
from protocol.record_entry import ChainFault, ChainPosition
from tests.engine.record_factory import START, open_store, run, tampering
from tests.tools.executions import make_record

Tamper = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[RecordStore]:
    """Five executions."""
    with open_store(path) as opened:
        run(opened, *"abcde")
        yield opened


def sql(statement: str) -> Tamper:
    return lambda connection: connection.execute(statement)


def found(store: RecordStore) -> tuple[int, str]:
    fault = store.verify_chain().fault
    assert fault is not None
    return fault.sequence, fault.kind


def test_a_whole_chain_has_no_fault_and_names_its_ends(store: RecordStore) -> None:
    report = store.verify_chain()
    assert (report.fault, report.entries, report.anchor.sequence) == (None, 5, 0)
    assert report.head == store.head()


def test_an_empty_chain_is_whole(tmp_path: Path) -> None:
    with open_store(tmp_path / "empty.sqlite") as store:
        report = store.verify_chain()
        assert (report.fault, report.entries, report.head) == (None, 0, report.anchor)


def test_the_chain_is_what_its_documentation_says(store: RecordStore, path: Path) -> None:
    """Computed here again, with nothing but the file."""
    with tampering(path) as connection:
        (store_id,) = connection.execute("SELECT store_id FROM chain").fetchone()
        previous = "sha256:" + hashlib.sha256(store_id.encode()).hexdigest()
        for content, stored in connection.execute("SELECT content, hash FROM entries ORDER BY sequence"):
            previous = "sha256:" + hashlib.sha256((previous + content).encode()).hexdigest()
            assert previous == stored
            canonical = json.dumps(json.loads(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert canonical == content
    assert store.head() == ChainPosition(sequence=5, hash=previous)


@pytest.mark.parametrize(
    ("tamper", "sequence", "kind"),
    [
        (sql("UPDATE entries SET content = replace(content, 'mundo', 'monde') WHERE sequence = 3"), 3, "content"),
        (sql("UPDATE entries SET content = content || ' ' WHERE sequence = 1"), 1, "content"),
        (sql("UPDATE entries SET content = 5 WHERE sequence = 2"), 2, "content"),
        (sql("UPDATE entries SET content = x'ff00' WHERE sequence = 2"), 2, "content"),
        (sql("UPDATE entries SET content = CAST(x'ff00' AS TEXT) WHERE sequence = 2"), 2, "content"),
        (sql("UPDATE entries SET hash = 'sha256:0' WHERE sequence = 3"), 3, "content"),
        (sql("UPDATE entries SET previous = 'sha256:0' WHERE sequence = 3"), 3, "link"),
        (sql("UPDATE entries SET model = 'other' WHERE sequence = 4"), 4, "columns"),
        (sql("UPDATE entries SET recorded_at = '2020' WHERE sequence = 4"), 4, "columns"),
        (sql("UPDATE entries SET execution_id = 'z' WHERE sequence = 4"), 4, "columns"),
        (sql("UPDATE entries SET kind = 'pruned' WHERE sequence = 4"), 4, "columns"),
        (sql("UPDATE entries SET execution_id = NULL WHERE sequence = 4"), 4, "columns"),
        (sql("DELETE FROM entries WHERE sequence = 3"), 3, "gap"),
        (sql("DELETE FROM entries WHERE sequence = 1"), 1, "gap"),
        (sql("DELETE FROM entries WHERE sequence = 5"), 5, "head"),
        (sql("DELETE FROM entries WHERE sequence >= 3"), 3, "head"),
        (sql("DELETE FROM entries"), 1, "head"),
        (sql("UPDATE chain SET head_hash = 'sha256:0'"), 6, "head"),
        (sql("UPDATE chain SET head_sequence = 4"), 5, "head"),
        (sql("UPDATE chain SET head_sequence = 9"), 6, "head"),
        (sql("UPDATE chain SET store_id = 'other'"), 1, "anchor"),
        (sql("UPDATE chain SET anchor_hash = 'sha256:0'"), 1, "link"),
        (sql("UPDATE entries SET sequence = 9 WHERE sequence = 5"), 5, "gap"),
    ],
)
def test_tampering_shows(store: RecordStore, path: Path, tamper: Tamper, sequence: int, kind: str) -> None:
    with tampering(path) as connection:
        tamper(connection)
    assert found(store) == (sequence, kind)


def test_an_inserted_copy_shows(store: RecordStore, path: Path) -> None:
    with tampering(path) as connection:
        connection.execute(
            "INSERT INTO entries SELECT 6, kind, recorded_at, 'f', model, quantization, stop_reason, previous, hash, "
            "content, subject FROM entries WHERE sequence = 5"
        )
    assert found(store) == (6, "link")


def test_two_entries_that_change_places_show(store: RecordStore, path: Path) -> None:
    with tampering(path) as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute("UPDATE entries SET sequence = ? WHERE sequence = ?", (new, old))
    assert found(store) == (2, "link")


def test_an_entry_hashed_anew_breaks_the_next(store: RecordStore, path: Path) -> None:
    with tampering(path) as connection:
        previous, content = connection.execute("SELECT previous, content FROM entries WHERE sequence = 2").fetchone()
        changed = content.replace("mundo", "monde")
        connection.execute(
            "UPDATE entries SET content = ?, hash = ? WHERE sequence = 2", (changed, entry_hash(previous, changed))
        )
    assert found(store) == (3, "link")


def test_a_beginning_cut_off_without_a_pruning_shows(store: RecordStore, path: Path) -> None:
    with tampering(path) as connection:
        connection.execute(
            "UPDATE chain SET anchor_sequence = 2, anchor_hash = (SELECT hash FROM entries WHERE sequence = 2)"
        )
        connection.execute("DELETE FROM entries WHERE sequence <= 2")
    assert found(store) == (3, "anchor")


def test_more_cut_off_than_was_pruned_shows(store: RecordStore, path: Path) -> None:
    store.prune(START + timedelta(seconds=2))
    assert store.verify_chain().fault is None
    with tampering(path) as connection:
        connection.execute(
            "UPDATE chain SET anchor_sequence = 3, anchor_hash = (SELECT hash FROM entries WHERE sequence = 3)"
        )
        connection.execute("DELETE FROM entries WHERE sequence <= 3")
    assert found(store) == (4, "anchor")


def test_a_sealed_text_that_is_no_entry_shows(store: RecordStore, path: Path) -> None:
    with tampering(path) as connection:
        previous = connection.execute("SELECT hash FROM entries WHERE sequence = 5").fetchone()[0]
        pruned = '{"kind":"pruned","recorded_at":"2030","sequence":6}'
        for content in ("[]", "{", "{}", pruned, '{"kind":"finished","recorded_at":"","record":5}'):
            sealed = entry_hash(previous, content)
            connection.execute(
                "INSERT OR REPLACE INTO entries VALUES (6, 'finished', '', NULL, NULL, NULL, NULL, ?, ?, ?, NULL)",
                (previous, sealed, content),
            )
            connection.execute("UPDATE chain SET head_sequence = 6, head_hash = ?", (sealed,))
            connection.commit()
            assert found(store) == (6, "content")


def rewritten_after(connection: sqlite3.Connection, kept: int) -> None:
    """Drops the entries behind ``kept`` and moves the head there, as one who may write the file can."""
    connection.execute("DELETE FROM entries WHERE sequence > ?", (kept,))
    connection.execute(
        "UPDATE chain SET head_sequence = ?, head_hash = (SELECT hash FROM entries WHERE sequence = ?)", (kept, kept)
    )


def test_only_a_position_written_down_elsewhere_betrays_a_rewritten_tail(store: RecordStore, path: Path) -> None:
    witness = store.head()
    with tampering(path) as connection:
        rewritten_after(connection, kept=3)
    assert store.verify_chain().fault is None
    assert store.verify_chain(witness).fault == ChainFault(
        sequence=5, kind="witness", reason="the chain ends at 3, before the position that was written down"
    )
    run(store, "f", "g", "h")
    fault = store.verify_chain(witness).fault
    assert fault is not None
    assert (fault.sequence, fault.kind) == (5, "witness")


def test_a_position_written_down_stays_true_as_the_chain_grows(store: RecordStore) -> None:
    witnesses = [store.head()]
    for name in ("f", "g"):
        run(store, name)
        witnesses.append(store.head())
    for witness in (*witnesses, store.verify_chain().anchor):
        assert store.verify_chain(witness).fault is None


def test_a_position_that_was_pruned_proves_nothing_any_more(store: RecordStore) -> None:
    witness = store.head()
    run(store, "f", "g")
    store.prune(START + timedelta(seconds=7))
    fault = store.verify_chain(witness).fault
    assert fault is not None
    assert (fault.kind, fault.reason) == ("witness", "the position that was written down has been pruned")


# --- any single change -----------------------------------------------------------------------------------------------


def chain_of(length: int) -> list[StoredEntry]:
    head = start_of("a store")
    entries = []
    for n in range(length):
        record = make_record(execution_id=f"{n}").model_dump(mode="json")
        content = {"kind": "finished", "recorded_at": f"{n}", "started_at": None, "record": record}
        entries.append(seal(head, content))
        head = ChainPosition(sequence=entries[-1].sequence, hash=entries[-1].hash)
    return entries


CHAIN = chain_of(4)
HEAD = ChainPosition(sequence=4, hash=CHAIN[-1].hash)


@given(entry=st.integers(0, 3), position=st.integers(0), replacement=st.characters(codec="utf-8"))
def test_any_character_changed_in_any_entry_shows_there(entry: int, position: int, replacement: str) -> None:
    old = CHAIN[entry]
    at = position % len(old.content)
    content = old.content[:at] + replacement + old.content[at + 1 :]
    changed = StoredEntry(old.sequence, old.previous, old.hash, content, old.columns)
    start = start_of("a store")
    report = ChainCheck("a store", start, None).report([*CHAIN[:entry], changed, *CHAIN[entry + 1 :]], HEAD)
    if content == old.content:
        assert report.fault is None
    else:
        assert report.fault is not None
        assert (report.fault.sequence, report.fault.kind, report.entries) == (entry + 1, "content", entry)
