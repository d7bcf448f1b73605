"""Streams that are written behind: in order, whole where they are read, and never waited for where they are not."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TextIO

import pytest

from engine.host import write_behind
from engine.host.write_behind import CHARACTERS_WAITING, WriteBehindStream, stderr_written_behind


class Pipe:
    def __init__(self) -> None:
        self._read, write = os.pipe()
        self.stream: TextIO = os.fdopen(write, "w", encoding="utf-8")

    def read_all(self) -> str:
        """The text that was written, once the stream is closed."""
        with os.fdopen(self._read, encoding="utf-8") as reader:
            return reader.read()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    with closing(pipe.stream):
        yield pipe


def test_what_is_written_comes_out_in_order(pipe: Pipe) -> None:
    written = WriteBehindStream(pipe.stream)
    lines = [f"line {number}, é\n" for number in range(1000)]
    for line in lines:
        print(line, end="", file=written)
    written.end()
    pipe.stream.close()
    assert pipe.read_all() == "".join(lines)


def test_a_pipe_that_nobody_reads_is_not_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_behind, "PATIENCE_S", 0.05)
    written = WriteBehindStream(pipe.stream)
    line = "x" * 1023 + "\n"
    for _ in range(CHARACTERS_WAITING // 1024 + 1000):
        assert written.write(line) == 1024
    written.end()
    thread = threading.Thread(target=pipe.read_all)
    thread.start()
    pipe.stream.close()
    thread.join(60)
    assert not thread.is_alive()


def test_what_was_left_out_is_counted_once_the_pipe_is_read_again(pipe: Pipe) -> None:
    written = WriteBehindStream(pipe.stream)
    line = "x" * 65535 + "\n"
    for _ in range(CHARACTERS_WAITING // len(line) + 20):
        written.write(line)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_all()))
    reader.start()
    deadline = time.monotonic() + 60
    while written.write("the last\n") and "the last\n" not in written._waiting:  # until there is room again
        assert time.monotonic() < deadline
        time.sleep(0.01)
    written.end()
    pipe.stream.close()
    reader.join(60)
    assert "lines were left out" in read[0]
    assert read[0].endswith("the last\n")


def test_a_reader_that_has_gone_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        written = WriteBehindStream(stream)
        written.write("to nobody\n")
        written.end()


def test_it_stands_for_standard_error_and_takes_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with stderr_written_behind():
        sys.stderr.write("a note\n")
        with pytest.raises(TypeError):
            sys.stderr.write(b"bytes")  # type: ignore[arg-type]
    assert sys.stderr is stderr
    assert stderr.getvalue() == "a note\n"
