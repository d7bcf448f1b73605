"""Several processes, killed and living, on one store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.host.process_identity import current_process, is_running
from engine.records.record_store import RecordStore
from tests.engine.record_factory import begin

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KILLS = 10
# Forks one child a line it reads, so that many can be killed without each loading Python anew.
WRITER = """
    import os, signal, sys
    from datetime import datetime, timezone
    from pathlib import Path
    from engine.records.record_store import RecordStore
    from protocol.errors import RecordStoreUnavailable
    from tests.tools.executions import make_planned, make_record

    def until_free(write):
        while True:
            try:
                return write()
            except RecordStoreUnavailable:  # the others were faster for as long as a writer waits
                continue

    def write(name, count):
        with RecordStore(Path(sys.argv[1])) as store:
            if count == 0:
                store.begin(name, make_planned(), datetime.now(timezone.utc))
                os.write(1, f"begun {name}\\n".encode())
                signal.pause()
            for n in range(count):
                execution_id = f"{name}-{n}"
                until_free(lambda: store.begin(execution_id, make_planned(), datetime.now(timezone.utc)))
                os.write(1, f"begun {execution_id}\\n".encode())
                until_free(lambda: store.finish(make_record(execution_id=execution_id, result="x" * (n % 7 * 3000))))
                os.write(1, f"finished {execution_id}\\n".encode())

    for line in sys.stdin:
        name, count = line.split()
        pid = os.fork()
        if not pid:
            write(name, int(count))
            os._exit(0)
        os.write(1, f"pid {pid}\\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"ended\\n")
"""


class Writer:
    """Another process, whose children write executions."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
        )
        self.begun: set[str] = set()
        self.finished: set[str] = set()

    def start(self, name: str, count: int = 1_000_000) -> int:
        """The id of the child that writes executions of that name; of 0 it begins one and does not go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {count}\n")
        self._process.stdin.flush()
        while True:
            word, value = self._read()
            if word == "pid":
                return int(value)

    def wait(self) -> None:
        """Wait until the child has ended."""
        while self._read()[0] != "ended":
            pass

    def wait_for_one(self, word: str = "finished") -> None:
        """Wait until the child has recorded, or begun, another execution."""
        while self._read()[0] != word:
            pass

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # the child too, which has the pipe as well
        self._process.communicate()

    def _read(self) -> tuple[str, str]:
        assert self._process.stdout is not None
        word, _, value = self._process.stdout.readline().strip().partition(" ")
        assert word, "the writer has failed"
        if word in ("begun", "finished"):
            getattr(self, word).add(value)
        return word, value


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    other = Writer(path)
    try:
        yield other
    finally:
        other.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.sqlite"


def recorded(store: RecordStore) -> dict[str, str]:
    """Execution ids and how they stopped."""
    summaries = []
    before = None
    while page := store.page(limit=1000, before=before):
        summaries += [entry.summary() for entry in page]
        before = page[-1].sequence
    assert len({summary.execution_id for summary in summaries}) == len(summaries)
    return {summary.execution_id: summary.stop_reason for summary in summaries}


def test_no_kill_loses_a_record_or_breaks_the_chain(path: Path) -> None:
    dice = random.Random(5)
    with RecordStore(path) as store, writer(path) as other:
        for kill in range(KILLS):
            pid = other.start(f"killed{kill}")
            other.wait_for_one()
            time.sleep(dice.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            other.wait()
            store.recover()
            stops = recorded(store)
            assert store.unfinished() == ()
            assert store.verify_chain().fault is None
            assert {stops[execution_id] for execution_id in other.finished} == {"max_tokens"}
            interrupted = {execution_id for execution_id, stop in stops.items() if stop == "interrupted"}
            assert interrupted.isdisjoint(other.finished)
            assert set(stops) >= other.begun
        # One kill leaves one execution unfinished at most: its process runs one at a time.
        assert len(interrupted) <= KILLS


def test_a_killed_processs_execution_is_interrupted_and_a_living_ones_is_not(path: Path) -> None:
    with RecordStore(path) as store, writer(path) as other:
        begin(store, "mine")
        pid = other.start("theirs", 0)
        other.wait_for_one("begun")
        with RecordStore(path) as second:
            assert second.recover() == ()
            assert [mark.running for mark in second.unfinished()] == [True, True]
        os.kill(pid, signal.SIGKILL)
        other.wait()
        assert [entry.columns.execution_id for entry in store.recover()] == ["theirs"]
        assert [mark.execution.execution_id for mark in store.unfinished()] == ["mine"]


def test_processes_write_to_one_new_store_at_the_same_time(path: Path) -> None:
    with writer(path) as one, writer(path) as two, writer(path) as three:
        writers = (one, two, three)
        for n, other in enumerate(writers):
            other.start(f"writer{n}", 40)
        for other in writers:
            other.wait()
    with RecordStore(path) as store:
        assert set(recorded(store)) == {f"writer{w}-{n}" for w in range(3) for n in range(40)}
        report = store.verify_chain()
        assert (report.fault, report.entries, report.head.sequence) == (None, 120, 120)
        places = {entry.columns.execution_id: entry.sequence for entry in store.page(limit=1000)}
        for w in range(3):
            order = [places[f"writer{w}-{n}"] for n in range(40)]
            assert order == sorted(order)


# --- which process is which ------------------------------------------------------------------------------------------


def test_this_process_runs() -> None:
    assert is_running(current_process())


def test_an_ended_process_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        other = replace(current_process(), pid=child.pid, started_ticks=started)
        assert is_running(other)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(other), "it has ended, and its exit status has not been read"
    assert not is_running(other)


def test_a_process_id_used_again_is_another_process() -> None:
    mine = current_process()
    assert not is_running(replace(mine, started_ticks=mine.started_ticks - 1))


def test_no_process_outlives_the_machine() -> None:
    assert not is_running(replace(current_process(), boot_id="another"))


def test_a_process_of_another_container_is_given_the_benefit_of_the_doubt() -> None:
    assert is_running(replace(current_process(), pid_namespace="pid:[1]", started_ticks=1))
    assert not is_running(replace(current_process(), pid_namespace="pid:[1]", boot_id="another"))
