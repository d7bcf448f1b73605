"""A fetch in a process of its own: its progress, its end and its cancellation reach the engine over a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.fetch import fetch_task
from engine.fetch.fetch_task import fetch_elsewhere, serve_fetch
from engine.fetch.pull_watch import PullWatch
from protocol.errors import DownloadFailed, ExecutionCancelled, InternalError

Work = Callable[[str, PullWatch], Path]


class Elsewhere:
    """Stands for the process: a thread that does what it is given in place of a fetch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder = folder
        self._patch = monkeypatch
        self._threads: list[threading.Thread] = []
        self.confined = 0

    def does(self, work: Work) -> None:
        def fetch(name: str, watch: PullWatch, *, models_dir: Path, hashes: ContentHashes) -> Path:
            assert (models_dir, type(hashes)) == (self._folder, ContentHashes)
            return work(name, watch)

        self._patch.setattr(fetch_task, "fetch_model", fetch)

    def start(self) -> socket.socket:
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with theirs:
                serve_fetch(theirs, self._folder, self._folder / "hashes.json", self._confine)

        self._threads.append(threading.Thread(target=serve))
        self._threads[-1].start()
        return ours

    def _confine(self) -> None:
        self.confined += 1

    def end(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(monkeypatch, tmp_path)
    yield made
    made.end()


def test_it_tells_how_far_it_is_and_where_the_model_lies(elsewhere: Elsewhere, tmp_path: Path) -> None:
    watch = PullWatch()

    def work(name: str, told: PullWatch) -> Path:
        told.tell("download", 5, 10)
        return tmp_path / f"{name}.gguf"

    elsewhere.does(work)

    assert fetch_elsewhere("tiny", watch, start=elsewhere.start) == tmp_path / "tiny.gguf"
    progress = watch.progress()
    assert progress is not None
    assert (progress.stage, progress.done, progress.total) == ("download", 5, 10)
    assert elsewhere.confined == 1


def test_its_errors_are_the_errors_of_a_fetch(elsewhere: Elsewhere) -> None:
    def work(name: str, told: PullWatch) -> Path:
        raise DownloadFailed("the hub is asleep", model=name, reason="unreachable")

    elsewhere.does(work)

    with pytest.raises(DownloadFailed, match="asleep") as failure:
        fetch_elsewhere("tiny", PullWatch(), start=elsewhere.start)
    assert failure.value.params == {"model": "tiny", "reason": "unreachable"}


def test_a_fault_of_its_own_is_told_and_shown(elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str]) -> None:
    def work(name: str, told: PullWatch) -> Path:
        raise RuntimeError("a fault")

    elsewhere.does(work)

    with pytest.raises(InternalError, match="RuntimeError"):
        fetch_elsewhere("tiny", PullWatch(), start=elsewhere.start)
    elsewhere.end()
    assert "a fault" in capsys.readouterr().err


def test_cancelling_ends_it_where_it_waits(elsewhere: Elsewhere) -> None:
    watch, waits = PullWatch(), threading.Event()

    def work(name: str, told: PullWatch) -> Path:
        waits.set()
        while True:
            told.pause(0.01)

    elsewhere.does(work)

    def cancel() -> None:
        waits.wait()
        watch.cancel()

    cancelling = threading.Thread(target=cancel)
    cancelling.start()

    with pytest.raises(ExecutionCancelled):
        fetch_elsewhere("tiny", watch, start=elsewhere.start)
    cancelling.join()


def test_an_engine_that_hangs_up_ends_it(elsewhere: Elsewhere) -> None:
    ended = threading.Event()

    def work(name: str, told: PullWatch) -> Path:
        try:
            while True:
                told.tell("download", 1, None)
                told.pause(0.01)
        finally:
            ended.set()

    elsewhere.does(work)
    with elsewhere.start() as talk:
        talk.sendall(b'"tiny"\n')
    assert ended.wait(timeout=60)


def test_a_process_that_ends_without_an_answer_is_a_fault() -> None:
    def start() -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    with pytest.raises(InternalError, match="has ended"):
        fetch_elsewhere("tiny", PullWatch(), start=start)
