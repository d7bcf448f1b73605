"""A text stream that a thread writes out: who writes to it never waits for its reader."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

CHARACTERS_WAITING: Final = 1 << 20
"""Text that waits at most for a reader; what comes beyond it is left out, and counted."""
PATIENCE_S: Final = 1.0
"""How long the end waits for what is still to be written."""


@contextmanager
def stderr_written_behind() -> Iterator[None]:
    """Have what Python writes on standard error written behind: log, notes, warnings, traces."""
    before = sys.stderr
    stream = WriteBehindStream(before)
    sys.stderr = stream
    try:
        yield
    finally:
        sys.stderr = before
        stream.end()


class WriteBehindStream(io.TextIOBase):
    """Stands for another stream, a process's standard error say, which may be a pipe that nobody reads.

    Its thread starts with the first text: one that is older than a sandbox would stay outside it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._left_out = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream it stands for."""
        return self._stream.encoding or "utf-8"

    def fileno(self) -> int:
        """The descriptor of the stream it stands for, as processes inherit it."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream it stands for is a terminal."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str, /) -> int:
        """Take a text; leave it out where ``CHARACTERS_WAITING`` are waiting. Never waits.

        Raises TypeError: it is bytes, by which libraries tell streams of text from others.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes str, not {type(text).__name__}")
        with self._changed:
            if self._ending or self._characters + len(text) > CHARACTERS_WAITING:
                self._left_out += 1
            else:
                self._waiting.append(text)
                self._characters += len(text)
                self._start()
                self._changed.notify_all()
        return len(text)

    def end(self) -> None:
        """Write what waits, for ``PATIENCE_S`` at most. What comes later is left out."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._characters, PATIENCE_S)

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: a pipe that stays full does not keep the process.
            self._thread = threading.Thread(target=self._write_out, name="write behind", daemon=True)
            self._thread.start()

    def _write_out(self) -> None:
        while (text := self._next()) is not None:
            with suppress(OSError, ValueError):  # the reader has gone: nobody is left to be told
                self._put(text)
            with self._changed:
                self._characters -= len(text)
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            if not self._waiting:
                return None
            if self._left_out:
                note = f"{self._left_out} lines were left out: what was written before them was not read\n"
                self._left_out = 0
                self._waiting.appendleft(note)
                self._characters += len(note)
            return self._waiting.popleft()

    def _put(self, text: str) -> None:
        try:
            descriptor = self._stream.fileno()
        except io.UnsupportedOperation:  # no file: a test's
            self._stream.write(text)
            return
        # The stream itself would hold its lock for as long as this thread waits, and the process could not end.
        content = memoryview(text.encode(self.encoding, "backslashreplace"))
        while content:
            with suppress(BlockingIOError):
                content = content[os.write(descriptor, content) :]
                continue
            select.select([], [descriptor], [])
