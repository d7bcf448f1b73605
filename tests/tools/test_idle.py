"""A served engine that has nothing to do does nothing: with its weights loaded and a client connected, no thread of it
wakes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from tests.support.gguf_factory import write_tiny_model

CLI = str(Path(sys.executable).with_name("engine-ctl"))
PATIENCE_S = 60.0
WINDOW_S = 2.0


@contextmanager
def served_engine(socket: Path, models: Path) -> Iterator[int]:
    """The process id of an engine that listens."""
    environment = {**os.environ, "ENGINE_MODELS_DIR": str(models), "ENGINE_CACHE_DIR": str(models / "cache")}
    command = [CLI, "serve", "--socket", str(socket)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as engine:  # noqa: S603
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not socket.exists():
                assert engine.poll() is None, "the engine ended"
                assert time.monotonic() < deadline, "the engine does not listen"
                time.sleep(0.01)
            yield engine.pid
        finally:
            engine.terminate()


def wake_ups(process_id: int) -> dict[str, int]:
    """Context switches of every thread so far, wanted or not."""
    counts = {}
    for task in Path(f"/proc/{process_id}/task").iterdir():
        lines = (task / "status").read_text(encoding="utf-8").splitlines()
        counts[task.name] = sum(int(line.split()[1]) for line in lines if "ctxt_switches:" in line)
    return counts


def settled_wake_ups(process_id: int) -> dict[str, int]:
    """Those once nothing has moved for a while: the engine is done with what it was asked."""
    deadline = time.monotonic() + PATIENCE_S
    before = wake_ups(process_id)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = wake_ups(process_id)
        if now == before:
            return now
        before = now
    raise AssertionError(f"the threads never came to rest: {before}")


def test_no_thread_wakes_while_nothing_runs(socket_path: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    execution = ExecutionRequest(limits=Limits(max_tokens=8), stop=Stop(eos=False))
    with served_engine(socket_path, tmp_path) as process_id, BlockingClient.connect(socket_path) as client:
        untouched = settled_wake_ups(process_id)
        *_, finished = client.run(RunRequest(model=str(model), prompt="Hello", execution=execution))
        assert isinstance(finished, Finished)
        resting = settled_wake_ups(process_id)
        assert len(resting) >= 2  # at least the event loop and the run loop
        assert sum(resting.values()) > sum(untouched.values())  # what is counted moves when there is work
        time.sleep(WINDOW_S)
        # A worker thread of the event loop ends after 10 s without work: one may be missing.
        assert wake_ups(process_id).items() <= resting.items()
