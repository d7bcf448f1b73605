"""Ranges of a file, read side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.fetch.partial_file import PartialFile
from engine.fetch.pull_watch import PullWatch
from engine.fetch.read_ahead import Pieces, RangesRefusedError, read_ahead
from engine.fetch.remote_file import RemoteFile
from engine.fetch.transfer import InterruptedTransferError, Transfer
from engine.fetch.web.file import WebFile
from protocol.errors import DownloadFailed, ExecutionCancelled
from tests.engine.web_server import WebServer

CONTENT = bytes(range(256)) * 40
BROKEN = InterruptedTransferError(DownloadFailed("broken", reason="unreachable"))


def in_pieces(first: int, end: int | None) -> Pieces:
    for position in range(first, len(CONTENT) if end is None else end, 100):
        yield position, CONTENT[position : min(position + 100, len(CONTENT) if end is None else end)]


def joined(pieces: Pieces, first: int = 0) -> bytes:
    found = b""
    for position, piece in pieces:
        assert position == first + len(found)
        found += piece
    return found


def test_ranges_come_in_their_order_whichever_is_there_first() -> None:
    second_is_there = threading.Event()

    def read(first: int, end: int | None) -> Pieces:
        if first == 0:
            assert second_is_there.wait(10)
        yield from in_pieces(first, end)
        if first == 1000:
            second_is_there.set()

    assert joined(read_ahead(read, 0, len(CONTENT), connections=2, range_bytes=1000)) == CONTENT


def test_it_begins_and_ends_where_it_is_told_to() -> None:
    assert joined(read_ahead(in_pieces, 123, 4567, range_bytes=1000), 123) == CONTENT[123:4567]


def test_what_a_range_raises_is_raised_when_its_turn_comes() -> None:
    def read(first: int, end: int | None) -> Pieces:
        if first == 2000:
            raise BROKEN
        yield from in_pieces(first, end)

    arrived: list[bytes] = []
    pieces = read_ahead(read, 0, len(CONTENT), range_bytes=1000)
    with pytest.raises(InterruptedTransferError):
        arrived.extend(piece for _, piece in pieces)
    assert b"".join(arrived) == CONTENT[:2000]


def test_it_ends_behind_a_range_that_ended_early() -> None:
    def read(first: int, end: int | None) -> Pieces:
        assert end is not None
        yield from in_pieces(first, end - 200 if first == 1000 else end)

    assert joined(read_ahead(read, 0, len(CONTENT), range_bytes=1000)) == CONTENT[:1800]


def test_a_sender_that_gives_the_whole_file_whatever_it_is_asked_for_is_told_apart() -> None:
    with pytest.raises(RangesRefusedError):
        joined(read_ahead(lambda _first, _end: in_pieces(0, None), 0, len(CONTENT), range_bytes=1000))


def test_nobody_reads_on_for_one_who_has_gone() -> None:
    asked: list[int] = []

    def read(first: int, end: int | None) -> Pieces:
        asked.append(first)
        yield from in_pieces(first, end)

    pieces = read_ahead(read, 0, len(CONTENT), connections=2, range_bytes=1000)
    next(pieces)
    pieces.close()
    assert len(asked) <= 4


# --- through a transfer ---------------------------------------------------------------------------------------------


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def run(web: WebServer, watch: PullWatch | None = None) -> bytes:
        file = WebFile(f"{web.url}/file")
        size, version = file.look_up()
        assert version is not None
        watch = watch or PullWatch()
        with PartialFile(tmp_path / "file", RemoteFile("file", size, f"version:{version.encode().hex()}")) as partial:
            partial.check_what_is_there(watch)
            Transfer(watch, first_pause_s=0.001, range_bytes=500).fetch(
                partial,
                file.read,
                lambda: watch.tell("download", partial.size_bytes, size),
                DownloadFailed("senseless"),
            )
            return partial.path.read_bytes()

    return run


def test_a_file_comes_over_several_connections(fetch: Callable[..., bytes]) -> None:
    with WebServer({"/file": CONTENT}) as web:
        assert fetch(web) == CONTENT
        assert web.ranges[0] is None  # the look-up
        assert "bytes=500-999" in web.ranges
        assert len(web.ranges) == 1 + -(-len(CONTENT) // 500)


def test_a_server_without_ranges_sends_it_over_one(fetch: Callable[..., bytes]) -> None:
    with WebServer({"/file": CONTENT}, ranges_ignored=True) as web:
        assert fetch(web) == CONTENT
        assert web.ranges[-1] is None


def test_a_range_that_breaks_is_asked_for_again(fetch: Callable[..., bytes]) -> None:
    with WebServer({"/file": CONTENT}, cut_after=[300, 200, 100]) as web:
        assert fetch(web) == CONTENT


def test_a_cancelled_transfer_ends_and_keeps_what_has_arrived(fetch: Callable[..., bytes], tmp_path: Path) -> None:
    class Stop(PullWatch):
        def tell(self, stage: str, done: int, total: int | None) -> None:
            if done >= 2000:
                self.cancel()
            super().tell(stage, done, total)

    with WebServer({"/file": CONTENT}) as web, pytest.raises(ExecutionCancelled):
        fetch(web, Stop())
    (partial,) = tmp_path.iterdir()
    assert partial.read_bytes() == CONTENT[: partial.stat().st_size]
    assert partial.stat().st_size >= 2000
