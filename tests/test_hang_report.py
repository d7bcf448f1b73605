"""The report of a test that hangs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from engine import _core
from tests.support.hang_report import thread_states

HANGING = """
import threading
import time

def test_that_hangs():
    threading.Thread(target=time.sleep, args=(20,), daemon=True, name="asleep").start()
    time.sleep(8)
"""

CONFTEST = """
from tests.support.hang_report import HangReport

def pytest_configure(config):
    config.pluginmanager.register(HangReport(1.0))
"""


def test_a_thread_of_the_core_is_told_with_where_it_waits() -> None:
    loop = _core.RunLoop(0)
    end = time.monotonic() + 60
    while not any("core 0x" in line and ": S, call 202 " in line for line in thread_states()):  # a futex
        assert time.monotonic() < end, "it never slept"
        time.sleep(0.01)
    loop.close()


def test_a_test_that_takes_too_long_is_reported_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={"PYTHONPATH": str(Path(__file__).parent.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "test_that_hangs has run for 1 s:" in done.stderr
    assert done.stderr.count(": S, call ") >= 2
