"""An engine under a service manager: it is passed its socket, tells when it is ready, and stops in good order."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.errors import ShuttingDown
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import Plan, Status
from tests.support.gguf_factory import write_tiny_model

PATIENCE_S = 60.0
# Starts it like a service manager: sockets from descriptor 3 on, addressed to this very process.
_PROGRAM = """
import os, sys
for target, descriptor in enumerate(map(int, filter(None, sys.argv.pop(1).split(","))), 3):
    os.dup2(descriptor, target)
os.environ["LISTEN_PID"] = str(os.getpid())
from engine_ctl.main import main
main(prog_name="engine-ctl")
"""


class Manager:
    """Listens for notifications, and starts engines."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "engine.sock"
        self._folder = folder
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(str(folder / "notify"))
        self._notified.settimeout(PATIENCE_S)

    def listen(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, kind)
        listening.bind(str(self.path))
        if kind == socket.SOCK_STREAM:
            listening.listen()
        return listening

    @contextmanager
    def start(
        self, *passed: socket.socket, names: str = "", flags: tuple[str, ...] = (), **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        told = {
            "NOTIFY_SOCKET": str(self._folder / "notify"),
            "LISTEN_FDS": str(len(passed)),
            "LISTEN_FDNAMES": names,
            "ENGINE_MODELS_DIR": str(self._folder),
            "ENGINE_CACHE_DIR": str(self._folder / "cache"),
            "ENGINE_DATA_DIR": str(self._folder / "data"),
        }
        # High numbers, and free ones: none of them is one of those that they are moved to.
        descriptors = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for one in passed]
        command = [sys.executable, "-c", _PROGRAM, ",".join(map(str, descriptors)), "serve", *flags]
        try:
            with subprocess.Popen(  # noqa: S603  our own program
                command, env=os.environ | told | environment, stderr=subprocess.PIPE, text=True, pass_fds=descriptors
            ) as process:
                try:
                    yield process
                finally:
                    process.kill()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def hear(self) -> list[str]:
        return self._notified.recv(4096).decode().split("\n")

    def close(self) -> None:
        self._notified.close()


@pytest.fixture
def manager(socket_path: Path) -> Iterator[Manager]:
    manager = Manager(socket_path.parent)
    yield manager
    manager.close()


def endless(model: Path, max_tokens: int = 100_000) -> RunRequest:
    execution = ExecutionRequest(limits=Limits(max_tokens=max_tokens), stop=Stop(eos=False))
    return RunRequest(model=str(model), prompt="Hello", execution=execution)


def test_the_manager_hears_when_clients_may_come_and_when_the_engine_stops(manager: Manager) -> None:
    with manager.start(flags=("--socket", str(manager.path))) as engine:
        assert manager.hear() == ["READY=1", f"STATUS=listening on {manager.path}"]
        with BlockingClient.connect(manager.path) as client:
            assert client.ask(Status()).pid == engine.pid
        engine.send_signal(signal.SIGTERM)
        assert manager.hear()[0] == "STOPPING=1"
        assert engine.wait(PATIENCE_S) == 0
    assert not manager.path.exists()


def test_signs_of_life_come_where_the_manager_asks_for_them(manager: Manager) -> None:
    with manager.start(flags=("--socket", str(manager.path)), WATCHDOG_USEC="20000"):
        assert manager.hear()[0] == "READY=1"
        assert [manager.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3


def test_a_passed_socket_is_served_and_left_where_it_is(manager: Manager) -> None:
    with manager.listen() as listening:
        early = socket.socket(socket.AF_UNIX)
        early.connect(str(manager.path))  # before the engine is there: activation
        with manager.start(listening) as engine:
            assert BlockingClient(early).welcome.protocol_version > 0
            assert manager.hear() == ["READY=1", f"STATUS=listening on {manager.path}"]
            early.close()
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(PATIENCE_S) == 0
        assert manager.path.exists()
        with manager.start(listening), BlockingClient.connect(manager.path) as client:  # the next one takes over
            assert client.ask(Status()).finished_total == 0


def test_of_several_sockets_the_one_named_engine_is_served(manager: Manager) -> None:
    with (
        manager.listen() as listening,
        socket.socket(socket.AF_UNIX) as other,
        manager.start(other, listening, names="other:engine"),
        BlockingClient.connect(manager.path) as client,
    ):
        assert client.welcome.protocol_version > 0


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        ([socket.SOCK_DGRAM], "is no listening Unix stream socket"),
        ([socket.SOCK_STREAM, socket.SOCK_DGRAM], "FileDescriptorName=engine"),
    ],
)
def test_what_cannot_be_served_is_refused(manager: Manager, kinds: list[socket.SocketKind], reason: str) -> None:
    passed = [socket.socket(socket.AF_UNIX, kind) for kind in kinds]
    with manager.start(*passed) as engine:
        _, told = engine.communicate(timeout=PATIENCE_S)
        assert engine.returncode == 3
        assert told.startswith("error[invalid_request]: socket activation: ")
        assert reason in told
    for one in passed:
        one.close()


def test_sockets_for_another_process_are_none_of_ours(manager: Manager) -> None:
    with manager.start(flags=("--socket", str(manager.path)), LISTEN_FDS="1", LISTEN_FDNAMES="engine") as engine:
        _, told = engine.communicate(timeout=PATIENCE_S)
        assert engine.returncode == 3  # descriptor 3 was promised, and is not there
        assert "file descriptor 3 is no socket" in told


def test_a_running_execution_finishes_while_the_engine_drains(manager: Manager, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=200_000)
    with manager.start(flags=("--socket", str(manager.path), "--drain-s", "600")) as engine:
        manager.hear()
        with BlockingClient.connect(manager.path) as client:
            messages = client.run(endless(model, max_tokens=2000))
            begin(messages)
            engine.send_signal(signal.SIGTERM)
            assert manager.hear()[0] == "STOPPING=1"
            until_refused(client, model)
            *_, last = messages
            assert isinstance(last, Finished)
            assert last.record.stop_reason == "max_tokens"
        assert engine.wait(PATIENCE_S) == 0


def test_a_second_signal_does_not_wait(manager: Manager, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=200_000)
    with manager.start(flags=("--socket", str(manager.path), "--drain-s", "600")) as engine:
        manager.hear()
        with BlockingClient.connect(manager.path) as client:
            messages = client.run(endless(model))
            begin(messages)
            for _ in range(2):
                engine.send_signal(signal.SIGTERM)
                assert manager.hear()[0] == "STOPPING=1"
            *_, last = messages
            assert isinstance(last, Finished)
            assert last.record.stop_reason == "shutdown"
        assert engine.wait(PATIENCE_S) == 0


def begin(messages: Iterator[RunMessage]) -> None:
    assert isinstance(next(messages), Accepted)
    while not isinstance(next(messages), Tokens):
        pass


def until_refused(client: BlockingClient, model: Path) -> None:
    """The signal and the socket are two ways in: which is first is not said."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            client.ask(Plan(request=endless(model)))
        except ShuttingDown:
            return
    raise AssertionError("the engine takes new work while it stops")
