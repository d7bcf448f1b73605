"""Execution records on disk are found again unchanged and in order, by any process."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.records.record_chain import removed_before, seal
from engine.records.record_store import RecordStore
from protocol.errors import (
    InternalError,
    InvalidRequest,
    RecordUnreadable,
    UnknownExecution,
)
from protocol.record_entry import FinishedEntry, InterruptedEntry, RecordFilter, timestamp
from tests.engine.record_factory import (
    ALICE,
    BOB,
    START,
    Clock,
    Processes,
    begin,
    metrics,
    open_store,
    plan_with,
    record_with,
    run,
    tampering,
)
from tests.tools.executions import make_plan, make_planned, make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "records.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[RecordStore]:
    with open_store(path) as opened:
        yield opened


def ids(store: RecordStore, wanted: RecordFilter | None = None) -> list[str]:
    return [entry.summary().execution_id for entry in store.page(wanted or RecordFilter(), limit=1000)]


def test_a_record_is_found_as_it_was(store: RecordStore) -> None:
    begin(store, "one")
    store.finish(make_record(execution_id="one"))
    entry = store.get("one").decode()
    assert isinstance(entry, FinishedEntry)
    assert entry.record == make_record(execution_id="one")
    assert entry.sequence == 1
    assert entry.started_at == "2030-01-01T00:00:00.000000Z"
    assert entry.recorded_at == "2030-01-01T00:00:01.000000Z"


def test_it_is_found_after_the_store_was_closed(path: Path) -> None:
    with open_store(path) as store:
        run(store, "one")
    with open_store(path) as store:
        assert ids(store) == ["one"]


def test_one_that_was_never_begun_is_kept_without_its_start(store: RecordStore) -> None:
    store.finish(make_record(execution_id="one"))
    entry = store.get("one").decode()
    assert isinstance(entry, FinishedEntry)
    assert entry.started_at is None


def test_what_is_not_there_is_unknown_and_what_runs_is_unfinished(store: RecordStore) -> None:
    begin(store, "one")
    for execution_id, unfinished in (("one", True), ("none", False), ("\udcff", False)):
        with pytest.raises(UnknownExecution) as unknown:
            store.get(execution_id)
        assert unknown.value.params["unfinished"] is unfinished


def test_an_execution_is_begun_and_recorded_once(store: RecordStore) -> None:
    begin(store, "one")
    with pytest.raises(InternalError, match="begun already"):
        begin(store, "one")
    store.finish(make_record(execution_id="one"))
    for again in (lambda: begin(store, "one"), lambda: store.finish(make_record(execution_id="one"))):
        with pytest.raises(InternalError, match="recorded already"):
            again()
    assert store.head().sequence == 1


def test_pages_go_from_the_newest_to_the_oldest(store: RecordStore) -> None:
    run(store, *"abcde")
    first = store.page(limit=2)
    second = store.page(limit=2, before=first[-1].sequence)
    third = store.page(limit=2, before=second[-1].sequence)
    assert [[entry.columns.execution_id for entry in page] for page in (first, second, third)] == [
        ["e", "d"],
        ["c", "b"],
        ["a"],
    ]
    for limit in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1000"):
            store.page(limit=limit)


def test_what_is_recorded_between_two_pages_is_on_neither(store: RecordStore) -> None:
    run(store, *"abc")
    first = store.page(limit=2)
    run(store, "later")
    second = store.page(limit=2, before=first[-1].sequence)
    assert [entry.columns.execution_id for entry in (*first, *second)] == ["c", "b", "a"]


def test_a_list_is_narrowed_by_what_an_execution_was(store: RecordStore) -> None:
    run(store, "small")
    store.finish(record_with(plan_with(quantization="q8_0"), execution_id="quantized"))
    store.finish(record_with(plan_with(model_ref__name="large"), execution_id="large", stop_reason="eos"))
    assert ids(store, RecordFilter(model="tiny")) == ["quantized", "small"]
    assert ids(store, RecordFilter(quantization="q8_0")) == ["quantized"]
    assert ids(store, RecordFilter(stop_reason="eos")) == ["large"]
    assert ids(store, RecordFilter(model="large", quantization="q8_0")) == []


def test_a_list_is_narrowed_by_when_it_was_recorded(store: RecordStore) -> None:
    run(store, *"abcd")  # recorded 1, 2, 3 and 4 seconds after the start
    moments = [timestamp(START + timedelta(seconds=n)) for n in range(6)]
    assert ids(store, RecordFilter(since=moments[3])) == ["d", "c"]
    assert ids(store, RecordFilter(until=moments[3])) == ["b", "a"]
    assert ids(store, RecordFilter(since=moments[2], until=moments[3])) == ["b"]


def test_times_are_utc_and_name_it() -> None:
    east = datetime.fromisoformat("2030-01-01T01:30:00+02:00")
    assert timestamp(east) == "2029-12-31T23:30:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2030, 1, 1))


def test_a_summary_is_what_a_list_shows(store: RecordStore) -> None:
    run(store, "one", metrics=metrics(tokens_per_sec=12.5))
    summary = store.get("one").summary()
    assert (summary.model, summary.quantization, summary.backend) == ("tiny", "native", "cpu_avx2")
    assert (summary.tokens_total, summary.tokens_per_sec, summary.watts_avg) == (3, 12.5, None)
    assert summary.energy_kind == "unavailable"


def test_an_unfinished_execution_of_an_ended_process_was_interrupted(path: Path) -> None:
    with open_store(path) as store:
        begin(store, "one")
    with open_store(path, owner=BOB) as store:
        (recovered,) = store.recover()
        entry = recovered.decode()
        assert isinstance(entry, InterruptedEntry)
        assert entry.started_at == timestamp(START)
        assert entry.record.stop_reason == "interrupted"
        assert entry.record.plan == make_plan()
        assert entry.record.prompt_token_ids == (1, 2)
        assert recovered.summary().tokens_per_sec is None
        assert ids(store, RecordFilter(stop_reason="interrupted")) == ["one"]
        assert store.unfinished() == ()
        assert store.recover() == ()
        assert store.verify_chain().fault is None


def test_a_living_process_keeps_its_executions(path: Path) -> None:
    with open_store(path) as alice, open_store(path, owner=BOB, processes=Processes(ALICE, BOB)) as bob:
        begin(alice, "hers")
        begin(bob, "his")
        assert bob.recover() == ()
        assert [(mark.pid, mark.running) for mark in bob.unfinished()] == [(ALICE.pid, True), (BOB.pid, True)]
        alice.finish(make_record(execution_id="hers"))
        assert [mark.execution.execution_id for mark in bob.unfinished()] == ["his"]


def test_an_older_engines_mark_is_sealed_as_it_is(path: Path) -> None:
    with open_store(path) as store:
        begin(store, "one")
        with tampering(path) as connection:
            connection.execute("""UPDATE unfinished SET content = replace(content, '"spin_us":50', '"spins":"many"')""")
        with pytest.raises(RecordUnreadable):
            store.unfinished()
    with open_store(path, owner=BOB) as store:
        (entry,) = store.recover()
        assert '"spins":"many"' in entry.content
        assert entry.summary().model == "tiny"
        with pytest.raises(RecordUnreadable, match="export it as it is"):
            entry.decode()
        assert store.verify_chain().fault is None


def test_pruning_removes_the_oldest_and_says_so(path: Path) -> None:
    clock = Clock()
    with open_store(path, clock=clock) as store:
        run(store, *"abcd", result="a secret " * 1000)
        size = path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size
        assert store.prune(START + timedelta(seconds=3)) == 2
        assert path.with_name(path.name + "-wal").stat().st_size == 0
        assert ids(store) == ["d", "c"]
        report = store.verify_chain()
        assert (report.fault, report.entries, report.anchor.sequence, report.head.sequence) == (None, 3, 2, 5)
        assert store.prune(START + timedelta(seconds=3)) == 0
        assert store.prune(START + timedelta(seconds=clock.looks)) == 2
        assert store.prune(START + timedelta(seconds=clock.looks)) == 0
        run(store, "e")
        assert ids(store) == ["e"]
        assert store.verify_chain().fault is None
        assert store.prune(START + timedelta(seconds=clock.looks + 1)) == 1
    assert path.stat().st_size < size / 2
    assert b"a secret" not in path.read_bytes()


def test_a_pruning_says_what_range_went_and_counts_those_before_it(path: Path) -> None:
    clock = Clock()
    with open_store(path, clock=clock) as store:
        run(store, *"abcd")
        store.prune(START + timedelta(seconds=3))
        (first,) = store.verify_chain().prunings
        assert (first.first_sequence, first.through_sequence) == (1, 2)
        assert (first.recorded_from, first.recorded_to) == tuple(
            timestamp(START + timedelta(seconds=s)) for s in (1, 2)
        )
        assert (first.executions_removed, first.executions_removed_total) == (2, 2)
        run(store, "e")
        store.prune(START + timedelta(seconds=clock.looks + 1))  # takes the first pruning's entry with it
        (last,) = store.verify_chain().prunings
        assert (last.first_sequence, last.through_sequence) == (3, 6)
        assert (last.executions_removed, last.executions_removed_total) == (3, 5)


def test_a_moment_that_has_not_come_is_no_cut_off(path: Path) -> None:
    with open_store(path) as store:
        run(store, "a")
        with pytest.raises(InvalidRequest, match="has not come"):
            store.prune(START + timedelta(days=1))
        with pytest.raises(InvalidRequest, match="has not come"):
            store.prunable(START + timedelta(days=1))
        assert ids(store) == ["a"]
        assert store.head().sequence == 1


def test_a_pruning_of_an_earlier_version_leaves_the_total_unknown(path: Path) -> None:
    clock = Clock()
    with open_store(path, clock=clock) as store:
        run(store, *"ab")
        earlier = {"through_sequence": 1, "through_hash": "sha256:0", "executions_removed": 1}
        content = {"kind": "pruned", "recorded_at": timestamp(START), **earlier}
        assert removed_before([seal(store.head(), content)]) is None
        assert removed_before([]) == 0


@pytest.mark.parametrize(
    "mistake",
    [
        "UPDATE entries SET hash = ''",
        "DELETE FROM entries",
        "INSERT INTO entries (sequence, kind, recorded_at, previous, hash, content) VALUES (9, '', '', '', '', '')",
        "INSERT OR REPLACE INTO entries SELECT * FROM entries",
    ],
)
def test_entries_are_only_ever_appended(store: RecordStore, path: Path, mistake: str) -> None:
    run(store, "one")
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="entries"):
        connection.execute(mistake)
    assert store.verify_chain().fault is None


def test_threads_share_a_store(store: RecordStore) -> None:
    def write(name: str) -> None:
        for n in range(20):
            run(store, f"{name}{n}")
            store.page(limit=5)

    threads = [Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(store)) == sorted(f"{name}{n}" for name in "abcd" for n in range(20))
    report = store.verify_chain()
    assert (report.fault, report.entries) == (None, 80)


# --- the codec -------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"))
FIGURES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TOKENS = st.lists(st.integers(0, 2**63)).map(tuple)


@given(result=TEXTS, name=TEXTS, token_ids=TOKENS, figures=st.tuples(FIGURES, FIGURES), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_comes_back_to_the_bit(
    store: RecordStore,
    result: str,
    name: str,
    token_ids: tuple[int, ...],
    figures: tuple[float | None, float | None],
    seed: int,
) -> None:
    record = record_with(
        plan_with(model_ref__name=name, sampling__seed=seed),
        execution_id=f"{store.head().sequence} {name}",
        result=result,
        token_ids=token_ids,
        metrics=metrics(tokens_per_sec=figures[0], watts_avg=figures[1]),
    )
    store.finish(record)
    entry = store.get(record.execution_id).decode()
    assert isinstance(entry, FinishedEntry)
    assert entry.record == record
    back = (entry.record.metrics.tokens_per_sec, entry.record.metrics.watts_avg)
    assert [_sign(figure) for figure in back] == [_sign(figure) for figure in figures]
    assert record.execution_id in ids(store, RecordFilter(model=name))
    assert store.verify_chain().fault is None


def _sign(figure: float | None) -> float | None:
    return None if figure is None else math.copysign(1.0, figure)


def test_a_path_that_is_no_unicode_is_kept_escaped(store: RecordStore) -> None:
    plan = plan_with(model_ref__path="/models/\udcff.gguf", model_ref__name="\udcff")
    store.begin("one", make_planned(plan), START)
    store.finish(record_with(plan, execution_id="one"))
    entry = store.get("one").decode()
    assert isinstance(entry, FinishedEntry)
    assert entry.record.plan.model_ref.path == "/models/\\udcff.gguf"
    assert ids(store, RecordFilter(model="\udcff")) == ["one"]
    assert store.verify_chain().fault is None


def test_no_clock_that_runs_backwards_disturbs_the_order(path: Path) -> None:
    class Backwards(Clock):
        def __call__(self) -> Any:
            return datetime(2030, 1, 1, tzinfo=timezone.utc) - (super().__call__() - START)

    with open_store(path, clock=Backwards()) as store:
        run(store, *"abc")
        assert ids(store) == ["c", "b", "a"]
        assert store.verify_chain().fault is None
