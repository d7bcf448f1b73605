"""A report of every thread of a test's process when one test has run for long: the core's threads too, which
`faulthandler` does not know."""

from __future__ import annotations

import os
import re
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_STACK_BYTES = 8192
_MOST_ADDRESSES = 24


class HangReport:
    """A plugin of pytest. Written once for each test that takes too long, to the process's standard error."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._running: tuple[str, float] | None = None
        # While tests run, what this process writes to its standard error is captured.
        self._stderr = os.dup(sys.stderr.fileno())
        threading.Thread(target=self._watch, name="hang report", daemon=True).start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._running = item.nodeid, time.monotonic()
        try:
            return (yield)
        finally:
            self._running = None

    def _watch(self) -> None:
        told = ""
        while True:
            time.sleep(1)
            running = self._running
            if running is not None and running[0] != told and time.monotonic() - running[1] > self._patience_s:
                told = running[0]
                lines = "\n".join(thread_states())
                os.write(self._stderr, f"{told} has run for {self._patience_s:g} s:\n{lines}\n".encode())


def thread_states() -> list[str]:
    """A line for each thread of this process: its state, the system call it is in with its arguments, and what on its
    stack looks like an address of the core's code, the innermost first, for `addr2line`."""
    core = _core_code()
    return [_thread_state(task, core) for task in sorted(Path("/proc/self/task").iterdir(), key=lambda t: int(t.name))]


def _thread_state(task: Path, core: list[tuple[int, int, int]]) -> str:
    try:
        name = (task / "comm").read_text().strip()
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        call = (task / "syscall").read_text().split()
    except OSError as error:  # it ended just now, or the kernel does not tell
        return f"  {task.name}: {error}"
    frames = _addresses_on_stack(int(call[-2], 16), core) if len(call) > 2 else []
    return f"  {task.name} {name}: {state}, call {' '.join(call)}; core {' '.join(frames) or '-'}"


def _core_code() -> list[tuple[int, int, int]]:
    """Begin, end and offset in the file of what is mapped of the core's code."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    found = [re.match(r"([0-9a-f]+)-([0-9a-f]+) r-xp ([0-9a-f]+) .*/_core\.", line) for line in lines]
    return [(int(match[1], 16), int(match[2], 16), int(match[3], 16)) for match in found if match]


def _addresses_on_stack(pointer: int, core: list[tuple[int, int, int]]) -> list[str]:
    try:
        with Path("/proc/self/mem").open("rb") as memory:
            memory.seek(pointer)
            stack = memory.read(_STACK_BYTES)
    except OSError:
        return []
    words = struct.unpack(f"<{len(stack) // 8}Q", stack[: len(stack) // 8 * 8])
    found = [hex(word - begin + offset) for word in words for begin, end, offset in core if begin <= word < end]
    return found[:_MOST_ADDRESSES]
