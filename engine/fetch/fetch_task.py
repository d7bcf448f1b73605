"""Fetches models in a process of its own: the serving process has no network, and this one has little else.

Lines of JSON cross a socket. The engine writes the model's name; back come ``{"stage", "done", "total"}`` as the work
goes on, and at its end ``{"path"}``, or an error's ``{"code", "message", "params"}``. An engine that hangs up, or shuts
down its side, cancels.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from engine.artifact.content_hash import ContentHashes
from engine.fetch.fetch import fetch_model
from engine.fetch.pull_watch import PullWatch
from protocol.error_codes import error_from_wire
from protocol.errors import EngineError, InternalError

_POLL_S: Final = 0.1
"""Between two looks at whether the pull was cancelled, and between two reports of its progress."""
_RECEIVE_BYTES: Final = 1 << 16
_CREDENTIALS: Final = (".netrc", ".config/pip", ".pip", ".cache/huggingface", ".config/huggingface")
"""What pip and the hub's library read below a user's home."""


class SocketWatch(PullWatch):
    """Reports over a socket, and is cancelled by the socket's end."""

    def __init__(self, talk: socket.socket) -> None:
        super().__init__()
        self._talk = talk
        self._told: tuple[str, float] = ("", 0.0)

    def tell(self, stage: str, done: int, total: int | None) -> None:
        """See :meth:`PullWatch.tell`."""
        super().tell(stage, done, total)
        told_stage, told_s = self._told
        now_s = time.monotonic()
        if stage != told_stage or now_s - told_s >= _POLL_S or done == total:
            self._told = (stage, now_s)
            try:
                _send(self._talk, {"stage": stage, "done": done, "total": total})
            except OSError:  # whoever asked has hung up
                self.cancel()
                super().check()

    def pause(self, seconds: float) -> None:
        """See :meth:`PullWatch.pause`."""
        select.select([self._talk], [], [], seconds)
        self.check()

    def check(self) -> None:
        """See :meth:`PullWatch.check`."""
        readable, _, _ = select.select([self._talk], [], [], 0)
        if readable:  # nothing else is said after the name
            self.cancel()
        super().check()


def serve_fetch(talk: socket.socket, models_dir: Path, hashes: Path, confine: Callable[[], None]) -> None:
    """Carry out one fetch, once ``confine`` has given up what it needs not. For a process of its own."""
    confine()
    name = json.loads(talk.makefile("r", encoding="utf-8").readline())
    try:
        path = fetch_model(name, SocketWatch(talk), models_dir=models_dir, hashes=ContentHashes(hashes))
        answer: dict[str, Any] = {"path": str(path)}
    except EngineError as error:
        answer = {"code": error.code, "message": error.message, "params": error.params}
    except Exception as error:
        traceback.print_exc()
        failure = InternalError(f"the pull failed: {type(error).__name__}")
        answer = {"code": failure.code, "message": failure.message, "params": {}}
    with suppress(OSError):  # whoever asked may have hung up
        _send(talk, answer)


def fetch_elsewhere(name: str, watch: PullWatch, *, start: Callable[[], socket.socket]) -> Path:
    """A :data:`engine.fetch.fetch.Fetch` by a process that ``start`` gives the socket of. Blocking.

    Raises:
        InternalError: the process ended without an answer.
    """
    with start() as talk:
        talk.settimeout(_POLL_S)
        try:
            _send(talk, name)
            for message in _messages(talk, watch):
                path = _take(message, watch)
                if path is not None:
                    return path
        except ConnectionError:
            pass  # it ended before it had read its task
    watch.check()
    raise InternalError("the process that fetches models has ended; what it said is on the engine's stderr")


def credential_paths(home: Path) -> tuple[Path, ...]:
    """What a fetch may read of a user's home: who asks, and where pip's index is."""
    named = (os.environ.get(name) for name in ("HF_HOME", "HF_TOKEN_PATH", "PIP_CONFIG_FILE", "NETRC", "SSL_CERT_FILE"))
    return (*(home / path for path in _CREDENTIALS), *(Path(path) for path in named if path))


def _messages(talk: socket.socket, watch: PullWatch) -> Iterator[dict[str, Any]]:
    """The process's messages until it ends; it is asked to end once the watch is cancelled."""
    pending = b""
    while True:
        line, newline, rest = pending.partition(b"\n")
        if newline:
            pending = rest
            yield json.loads(line)
            continue
        try:
            arrived = talk.recv(_RECEIVE_BYTES)
        except TimeoutError:
            if watch.cancelled:
                with suppress(OSError):  # it has ended meanwhile
                    talk.shutdown(socket.SHUT_WR)
            continue
        if not arrived:
            return
        pending += arrived


def _take(message: dict[str, Any], watch: PullWatch) -> Path | None:
    if "path" in message:
        return Path(message["path"])
    if "code" in message:
        raise error_from_wire(message["code"], message["message"], message["params"])
    if not watch.cancelled:
        watch.tell(message["stage"], message["done"], message["total"])
    return None


def _send(talk: socket.socket, message: object) -> None:
    talk.sendall(json.dumps(message).encode() + b"\n")
