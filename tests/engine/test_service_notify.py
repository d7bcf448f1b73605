"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.host.service_notify import ServiceNotifier


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.chdir(tmp_path)  # pytest's own folders have names too long for a socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("notify")
        listening.settimeout(10)
        yield listening


def test_readiness_and_the_end_are_told(manager: socket.socket) -> None:
    notifier = ServiceNotifier.of({"NOTIFY_SOCKET": "notify"})
    notifier.ready("listening on\n/run/engine.sock")
    assert manager.recv(4096) == b"READY=1\nSTATUS=listening on /run/engine.sock"
    notifier.stopping("draining")
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=draining"
    notifier.alive()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_name_in_the_abstract_namespace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the kernel picks a free name there
        name = listening.getsockname().decode().replace("\0", "@", 1)
        ServiceNotifier.of({"NOTIFY_SOCKET": name}).alive()
        listening.settimeout(10)
        assert listening.recv(4096) == b"WATCHDOG=1"


def test_without_a_manager_nothing_is_sent_and_nothing_is_wrong() -> None:
    notifier = ServiceNotifier.of({"WATCHDOG_USEC": "1000000"})
    notifier.ready("listening")
    assert notifier.watchdog_s is None


def test_a_manager_that_is_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        ServiceNotifier.of({"NOTIFY_SOCKET": "nobody"}).ready("listening")


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_signs_of_life_are_given_only_where_they_are_asked_of_this_process(
    asked: dict[str, str], seconds: float | None
) -> None:
    assert ServiceNotifier.of({"NOTIFY_SOCKET": "notify", **asked}).watchdog_s == seconds
