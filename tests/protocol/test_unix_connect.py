"""Connecting where as many wait as may, and where a signal comes meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from protocol.answers import Welcome
from protocol.blocking import BlockingClient
from protocol.client import connect
from protocol.codec import encode
from protocol.errors import EngineUnreachable
from protocol.framing import PROTOCOL_VERSION, encode_frame
from protocol.light_client import LightClient
from protocol.unix_connect import connect_unix

WELCOME = Welcome(engine_version="0", protocol_version=PROTOCOL_VERSION, capabilities=(), limits={})


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listener with room for one that waits, who is there."""
    monkeypatch.chdir(tmp_path)  # pytest's own folders have names too long for a socket
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind("engine.sock")
        listener.listen(0)
        first.connect("engine.sock")
        yield listener


def in_kernel(path: Path, thread_id: int) -> bool:
    """Whether a thread sleeps in a system call of its own."""
    return (path / str(thread_id) / "stat").read_text().rpartition(")")[2].split()[0] == "S"


def greet_once_somebody_waits(listener: socket.socket, waiting: int, kept: ExitStack) -> threading.Thread:
    """Take those that wait, once a thread of this process does, and greet all."""

    def serve() -> None:
        while not in_kernel(Path("/proc/self/task"), waiting):
            pass
        for _ in range(2):
            accepted = kept.enter_context(listener.accept()[0])
            accepted.sendall(encode_frame(encode(WELCOME)))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def connect_light() -> None:
    LightClient.connect(Path("engine.sock")).close()


def connect_blocking() -> None:
    BlockingClient.connect(Path("engine.sock"), timeout=60).close()


def connect_async() -> None:
    async def main() -> None:
        async with connect(Path("engine.sock")):
            pass

    anyio.run(main)


@pytest.mark.parametrize("connecting", [connect_light, connect_blocking, connect_async])
def test_a_client_waits_where_others_wait_before_it(crowded: socket.socket, connecting: Callable[[], None]) -> None:
    with ExitStack() as kept:
        thread = greet_once_somebody_waits(crowded, threading.get_native_id(), kept)
        connecting()
        thread.join()


def test_it_waits_no_longer_than_it_is_told(crowded: socket.socket) -> None:
    with pytest.raises(EngineUnreachable, match="takes no connection within"):
        BlockingClient.connect(Path("engine.sock"), timeout=0.001)


def test_a_signal_is_no_connection(crowded: socket.socket) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    waiting = threading.get_native_id()

    def interrupt() -> None:
        while not in_kernel(Path("/proc/self/task"), waiting):
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        while not heard:
            os.sched_yield()
        for _ in range(2):
            kept.enter_context(crowded.accept()[0])

    with ExitStack() as kept:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with connect_unix(Path("engine.sock"), 60) as stream:
            assert stream.getpeername() == "engine.sock"
        thread.join()
    signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]
