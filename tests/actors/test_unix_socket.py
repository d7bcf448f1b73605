"""The socket in the file system: private, never stolen, never left behind; and what comes over it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio

from actors.system import running
from actors.unix_socket import UnixSocket
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.client import connect
from protocol.errors import EngineUnreachable, InvalidRequest
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine" / "engine.sock"


def private(path: Path) -> bool:
    """Nothing in the directory but the socket, and both for us alone."""
    modes = (path.lstat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
    return modes == (0o600, 0o700) and list(path.parent.iterdir()) == [path]


def gone(path: Path) -> bool:
    return not path.exists()


async def test_an_engine_answers_on_its_socket_and_leaves_nothing_behind(path: Path) -> None:
    async with running(make_system(FakeBackend(answer=("a", "b")), socket_path=path)):
        assert private(path)
        async with connect(path) as client:
            assert (await record_of(client, make_request())).result == "ab"
    assert gone(path)
    with pytest.raises(EngineUnreachable, match=r"engine\.sock"):
        async with connect(path):
            pass


def test_a_path_that_no_client_could_connect_to_is_refused() -> None:
    with TemporaryDirectory(dir="/tmp") as folder:
        longest = Path(folder) / ("s" * (107 - len(folder) - 1))
        UnixSocket.open(longest).close()
        with pytest.raises(InvalidRequest, match="it has 108 bytes"):
            UnixSocket.open(longest.with_name(f"{longest.name}s"))


async def test_a_hundred_connections_come_and_go(path: Path) -> None:
    async with running(make_system(FakeBackend(answer=("a",)), socket_path=path)) as system:
        for _ in range(100):
            with socket.socket(socket.AF_UNIX) as silent:
                silent.connect(str(path))
        await until(lambda: system.statistics().api_server.connections == 0)
        async with connect(path) as client:
            assert (await record_of(client, make_request())).result == "a"


async def test_a_client_that_vanishes_mid_stream_is_cancelled(path: Path) -> None:
    backend = FakeBackend()
    async with running(make_system(backend, socket_path=path)):
        async with connect(path) as client, trio.open_nursery() as nursery:
            stream = Stream()
            nursery.start_soon(stream.follow, client, make_request())
            await until(lambda: bool(backend.live))
            backend.emit(1, "begun")
            await until(lambda: bool(stream.text))
            nursery.cancel_scope.cancel()
        await until(lambda: backend.cancelled == [1])


async def test_the_blocking_client_speaks_to_it_from_another_thread(path: Path) -> None:
    def converse() -> None:
        with BlockingClient.connect(path, timeout=10) as client:
            assert client.welcome.limits["max_in_flight"] > 0
            *_, last = client.run(make_request())
            assert isinstance(last, Finished)
            assert last.record.result == "ab"

    async with running(make_system(FakeBackend(answer=("a", "b")), socket_path=path)):
        await trio.to_thread.run_sync(converse)


def test_a_live_engine_is_not_displaced(path: Path) -> None:
    first = UnixSocket.open(path)
    with pytest.raises(InvalidRequest, match="another engine answers there"):
        UnixSocket.open(path)
    first.close()
    UnixSocket.open(path).close()


def test_what_a_killed_engine_left_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    opened = UnixSocket.open(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    opened.close()
    assert not path.exists()


def test_a_path_taken_over_by_another_is_not_removed(path: Path) -> None:
    opened = UnixSocket.open(path)
    path.unlink()
    path.write_text("another's")
    opened.close()
    assert path.read_text() == "another's"


def test_what_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    with pytest.raises(InvalidRequest, match="is not a socket"):
        UnixSocket.open(path)
    assert path.read_text() == "precious"


def test_a_directory_open_to_others_is_refused_with_the_remedy(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o755)
    with pytest.raises(InvalidRequest, match="chmod 700") as refused:
        UnixSocket.open(path)
    assert refused.value.params["field"] == "socket"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(InvalidRequest, match="belongs to user 12345"):
        UnixSocket.open(path)


def test_a_symbolic_link_is_no_directory_of_our_own(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequest, match="not a directory"):
        UnixSocket.open(path)


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        UnixSocket.open(tmp_path / ("d" * 100) / "engine.sock")
