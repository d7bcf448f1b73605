"""A folder with ``llama3-8b``, and a real engine that serves it on a socket."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from tests.requirements.llama import DECLARED, environment, write_llama
from tests.tools.command_line import serving


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, derived weights and records of every engine in these tests."""
    folder = tmp_path_factory.mktemp("home")
    write_llama(folder / "models")
    return folder


@pytest.fixture(autouse=True)
def _own_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that a test starts itself, in this process or as a command, use the folder too."""
    for name, value in (environment(home) | DECLARED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    # No engine of the user's is spoken to by a command that names no socket.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))


@pytest.fixture(scope="session")
def engine(home: Path) -> Iterator[Path]:
    """The socket of an engine whose operator declared a model of its energy."""
    # pytest's own folders have long names; a Unix socket's path may hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        path = Path(folder) / "engine.sock"
        with serving(path, env=os.environ | environment(home) | DECLARED):
            yield path


@pytest.fixture
def client(engine: Path) -> Iterator[BlockingClient]:
    with BlockingClient.connect(engine, timeout=60) as connected:
        yield connected
