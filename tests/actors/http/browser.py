"""A real browser before an engine: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from actors.http.options import HttpRules
from tests.actors.engine_factory import until
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.http_stage import Stage, stage

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of Playwright's. Skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium")
    # Its crash reports go into the user's folder, wherever its profile is.
    with tempfile.TemporaryDirectory(prefix="engine-") as home, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program, args=_FLAGS, env={"HOME": home, "PATH": "/usr/bin:/bin"}
        )
        yield browser
        browser.close()


@dataclass(frozen=True)
class StageThread:
    """The engine of a test that blocks: it runs in a thread of its own."""

    stage: Stage
    token: trio.lowlevel.TrioToken

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stage.port}/"

    @property
    def backend(self) -> FakeBackend:
        return self.stage.backend

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the browser brings about."""
        trio.from_thread.run(until, condition, trio_token=self.token)

    def emit(self, *texts: str, **ending: Any) -> None:
        """What the one sequence that runs says next."""
        self.until(lambda: bool(self.backend.live))

        def say() -> None:
            (sequence,) = self.backend.live
            self.backend.emit(sequence, *texts, **ending)

        trio.from_thread.run_sync(say, trio_token=self.token)


@contextmanager
def stage_thread(backend: FakeBackend | None = None, rules: HttpRules | None = None) -> Iterator[StageThread]:
    """The fake engine over TCP; without a backend, one that says what the test tells it to."""
    begun: queue.Queue[tuple[StageThread, trio.Event]] = queue.Queue()

    async def serve() -> None:
        async with stage(backend or FakeBackend(), tcp=True, rules=rules) as served:
            ended = trio.Event()
            begun.put((StageThread(served, trio.lowlevel.current_trio_token()), ended))
            await ended.wait()

    run: Callable[[Callable[[], Awaitable[None]]], None] = trio.run
    thread = threading.Thread(target=run, args=(serve,))
    thread.start()
    running, ended = begun.get(timeout=30)
    try:
        yield running
    finally:
        trio.from_thread.run_sync(ended.set, trio_token=running.token)
        thread.join()
