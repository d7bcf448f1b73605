"""Compiles grammars in a process of its own, to see what comes of it.

    main(LIFELINE)

Standard input and output are one socket. Over it come, as msgpack, first what all grammars are compiled for, then one
grammar after another; each is answered by the library's complaint, which is empty where there is none. Imports little,
so that it starts fast.

The process ends with its socket, and at once when the pipe ``LIFELINE`` has no writer left: with its parent, however
that ends. ``PR_SET_PDEATHSIG`` would end it with the thread that started it, which may be any.
"""

from __future__ import annotations

import fcntl
import io
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgpack

from engine import _core
from engine.host import landlock, system_calls

_SOCKET: Final = 0
_READ_BYTES: Final = 1 << 20
_GRACE_S: Final = 1.0
"""CPU time beyond the patience: what ends a process that its parent no longer watches."""


def main(lifeline: int) -> None:
    """Answer trials from stdin until it ends, or the process behind ``lifeline`` does."""
    _end_with(lifeline)
    messages = msgpack.Unpacker(io.FileIO(_SOCKET), read_size=_READ_BYTES, max_buffer_size=0)
    library, pieces, eos_token_ids, memory_bytes = next(messages)
    tokens = _core.GrammarVocabulary(_core.GrammarLibrary(library), _core.Vocabulary(pieces), eos_token_ids)
    del pieces  # more memory than what was made of them
    _limit_memory(memory_bytes)
    _give_up_the_rest()
    _answer("")
    for language, source, patience_ms in messages:
        _limit_time(patience_ms / 1e3 + _GRACE_S)
        _answer(_complaint(tokens, language, source, patience_ms))


def _complaint(tokens: _core.GrammarVocabulary, language: str, source: str, patience_ms: int) -> str:
    try:
        _core.Grammar(tokens, language, source, patience_ms=patience_ms)
    except _core.GrammarError as error:
        return str(error)
    return ""


def _answer(text: str) -> None:
    os.write(_SOCKET, msgpack.packb(text))


def _end_with(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    try:
        os.read(lifeline, 1)
    except BlockingIOError:
        return
    sys.exit("the parent has ended")


def _give_up_the_rest() -> None:
    """All files, the network, other processes: a grammar needs none. What the kernel lacks of it ``doctor`` tells."""
    if landlock.version():
        landlock.restrict({})
    landlock.forbid_new_privileges()
    system_calls.refuse(network=False)


def _limit_memory(memory_bytes: int) -> None:
    """Beyond what the process has now."""
    mapped_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, mapped_bytes + memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def _limit_time(seconds: float) -> None:
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + seconds))


def _limit(kind: int, most: int) -> None:
    """At ``most``, or at the limit that the process was given, if that is less."""
    _, given = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if given == resource.RLIM_INFINITY else min(most, given), given))
