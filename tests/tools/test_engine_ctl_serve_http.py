"""``engine-ctl serve`` and HTTP: where it is served, what it says of that, and what it refuses."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from engine_ctl.exit_codes import EXIT_CODES
from protocol.errors import InvalidRequest
from tests.tools.command_line import engine_ctl, serving
from tests.tools.test_service_manager import Manager

SECRET = "a secret of many bytes"  # noqa: S105  of this test alone


@pytest.fixture
def environment(socket_path: Path) -> dict[str, str]:
    places = {f"ENGINE_{name}_DIR": str(socket_path.parent / name.lower()) for name in ("MODELS", "CACHE", "DATA")}
    return {**os.environ, **places}


@pytest.fixture
def manager(socket_path: Path) -> Iterator[Manager]:
    manager = Manager(socket_path.parent)
    yield manager
    manager.close()


def version_at(port: int, headers: dict[str, str] | None = None) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/version", headers=headers or {})
    status = connection.getresponse().status
    connection.close()
    return status


def ask_unix(path: Path) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(30)
        stream.connect(str(path))
        stream.sendall(b"GET /version HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: stream.recv(65_536), b""))
    told: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return told


def test_port_0_takes_a_free_one_and_says_which(socket_path: Path, environment: dict[str, str]) -> None:
    with serving(socket_path, "--http", "127.0.0.1:0", env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"HTTP on unix:{socket_path.with_name('engine-http.sock')}\n"
        place = process.stderr.readline().strip()
        assert place.startswith("HTTP on http://127.0.0.1:")
        assert version_at(int(place.rpartition(":")[2])) == 200


def test_a_secret_is_read_from_its_file(socket_path: Path, environment: dict[str, str]) -> None:
    secret = socket_path.with_name("secret")
    secret.write_text(SECRET)
    secret.chmod(0o600)
    flags = ("--http-socket", "off", "--http", "127.0.0.1:0", "--http-token-file", str(secret))
    with serving(socket_path, *flags, env=environment) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        assert version_at(port) == 401
        assert version_at(port, {"x-api-key": SECRET}) == 200
        assert not socket_path.with_name("engine-http.sock").exists()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "nonsense", "127.0.0.1:http"])
def test_an_address_that_cannot_be_served_is_refused_before_anything_starts(address: str, socket_path: Path) -> None:
    result = engine_ctl("serve", "--socket", str(socket_path), "--http", address)
    assert result.exit_code == EXIT_CODES[InvalidRequest.code]
    assert not socket_path.exists()


def test_a_socket_that_the_manager_passes_for_http_is_served_and_left_in_place(manager: Manager) -> None:
    path = manager.path.with_name("engine-http.sock")
    with socket.socket(socket.AF_UNIX) as http, manager.listen() as own:
        http.bind(str(path))
        http.listen()
        with manager.start(own, http, names="engine:engine-http") as engine:
            assert manager.hear()[0] == "READY=1"
            assert ask_unix(path)["engine_version"]
            engine.terminate()
            assert engine.wait(60) == 0
    assert path.exists()
