"""A socket's path short enough for the kernel, and engines that listen there."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.tools.fake_engine import Answer, FakeEngine

StartEngine = Callable[[Answer], FakeEngine]


@pytest.fixture
def socket_path() -> Iterator[Path]:
    # pytest's own folders have long names; a Unix socket's path may hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        yield Path(folder) / "engine.sock"


@pytest.fixture
def interrupts_ignored() -> Iterator[None]:
    """SIGINT is ignored by this process and those that it starts, as by a script's background jobs."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def start_engine(socket_path: Path) -> Iterator[StartEngine]:
    with ExitStack() as engines:
        yield lambda answer: engines.enter_context(FakeEngine(socket_path, answer))
