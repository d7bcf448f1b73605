"""One process of :mod:`engine.grammar.grammar_trial`, seen from the process that started it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgpack

from engine import _core

_START_S: Final = 30.0
"""A start takes some tenths of a second, unless the machine is very busy."""
_RECEIVE_BYTES: Final = 1 << 16
_FATAL: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)
"""What a process does to itself; other signals come from elsewhere."""
_OUT_OF_MEMORY: Final = ("memory allocation of", "MemoryError", "bad_alloc", "Cannot allocate memory")
"""How programs say so before they end."""


_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1"}
"""Arenas of threads would take address space that nothing uses."""


_PROGRAM: Final = (
    "import sys; sys.path = [*filter(None, sys.path)]; "
    "from engine.grammar.grammar_trial import main; main(int(sys.argv[1]))"
)
"""Without the working directory on its path, which ``-m`` would put there: ``-P`` is of Python 3.11."""


class TrialError(Exception):
    """No process can be started."""


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """How a trial process limits itself."""

    grammar_library: str
    """The path of the library for grammars."""
    vocabulary: _core.Vocabulary
    eos_token_ids: Sequence[int]
    patience_ms: int
    """For each grammar."""
    memory_mib: int = 512
    """For compiling grammars, beside the vocabulary. What it takes grows with the square of some: a regular expression
    of 11,000 optional characters takes this much, and next to nothing once it is compiled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended."""

    outcome: Literal["compiled", "refused", "crashed", "too_large", "timed_out"]
    reason: str = ""
    """What the library complained of, or how it ended."""
    lasting: bool = True
    """Another process at another time would come to the same."""


class TrialProcess:
    """Ends with this object, or with the process that made it, whichever ends first. For one thread at a time."""

    def __init__(self, settings: TrialSettings) -> None:
        """Starts it and waits until it has read the vocabulary. Raises TrialError."""
        self._settings = settings
        self._answers = msgpack.Unpacker()
        try:
            self._start()
        except OSError as error:
            raise TrialError(f"no process can be started: {error}") from error
        vocabulary = settings.vocabulary
        pieces = [vocabulary.piece(token) for token in range(len(vocabulary))]
        try:
            end_ids = tuple(settings.eos_token_ids)
            beginning = (settings.grammar_library, pieces, end_ids, settings.memory_mib << 20)
            self._ask(beginning, _START_S)
        except TimeoutError as error:
            self._end()
            raise TrialError(
                f"the one that was started was not ready within {_START_S:g} s: too little CPU time"
            ) from error
        except (OSError, EOFError) as error:
            last_line = self._last_words().rpartition("\n")[2]
            raise TrialError(f"the one that was started has ended: {last_line}") from error

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it lives, as far as its last verdict told."""
        return self._end.alive

    def try_out(self, language: str, source: str) -> Verdict:
        """What becomes of the process when it compiles the grammar and finds its first tokens."""
        try:
            patience_ms = self._settings.patience_ms
            complaint = self._ask((language, source, patience_ms), patience_ms / 1e3)
        except TimeoutError:
            self._end()
            return Verdict("timed_out", "it is too complex", lasting=False)
        except (OSError, EOFError):
            return self._autopsy()
        os.ftruncate(self._errors, 0)
        return Verdict("refused", complaint) if complaint else Verdict("compiled")

    def _start(self) -> None:
        with ExitStack() as ours, ExitStack() as theirs:
            self._socket, end = socket.socketpair()
            ours.callback(self._socket.close)
            theirs.callback(end.close)
            watched, lifeline = os.pipe()
            ours.callback(os.close, lifeline)
            theirs.callback(os.close, watched)
            self._errors = os.memfd_create("grammar-trial-errors")
            ours.callback(os.close, self._errors)
            fcntl.fcntl(self._errors, fcntl.F_SETFL, os.O_APPEND)
            # In a session of its own: it is not for Ctrl-C to end it while the engine still finishes its work.
            self._process = subprocess.Popen(  # noqa: S603  this program
                (sys.executable, "-c", _PROGRAM, str(watched)),
                stdin=end.fileno(), stdout=end.fileno(), stderr=self._errors, pass_fds=(watched,),
                start_new_session=True, env=os.environ | _ENVIRONMENT,
            )  # fmt: skip
            self._end = weakref.finalize(self, _end, self._process, ours.pop_all())

    def _ask(self, message: Any, patience_s: float) -> str:
        """Raises TimeoutError; EOFError, OSError: the process has ended."""
        deadline = time.monotonic() + patience_s
        self._socket.settimeout(patience_s)
        self._socket.sendall(msgpack.packb(message))
        while True:
            for answer in self._answers:
                return str(answer)
            self._socket.settimeout(max(1e-3, deadline - time.monotonic()))
            received = self._socket.recv(_RECEIVE_BYTES)
            if not received:
                raise EOFError
            self._answers.feed(received)

    def _autopsy(self) -> Verdict:
        words = self._last_words()
        if any(sign in words for sign in _OUT_OF_MEMORY):
            return Verdict("too_large", f"compiling it takes more than {self._settings.memory_mib} MiB")
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return Verdict("timed_out", "it is too complex", lasting=False)
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Verdict("crashed", f"compiling it crashes the grammar library ({name})", lasting=-code in _FATAL)

    def _last_words(self) -> str:
        """What it wrote about its end, which this waits for."""
        words = os.pread(self._errors, 1 << 16, 0).decode(errors="replace")
        self._end()
        return words.strip() or f"exit status {self._process.returncode}"


def _end(process: subprocess.Popen[bytes], held: ExitStack) -> None:
    process.kill()
    process.wait()
    held.close()
