"""A package index on 127.0.0.1 with one wheel: what pip asks of one, and ranges of the file."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

_PIECE_BYTES = 16 * 1024


@dataclass
class IndexMishaps:
    """What is to go wrong with the wheel; all of it ends by itself where it has a count."""

    cut_after: list[int] = field(default_factory=list)
    """Bytes of each of the next answers, after which the connection breaks."""
    statuses: list[int] = field(default_factory=list)
    """Statuses that replace the next answers."""
    ignore_ranges: bool = False
    for_pip_alone: bool = False
    """Whether the index demands a password."""


class IndexServer:
    """Serves until the end of the context."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.content = wheel.read_bytes()
        self.digest = hashlib.sha256(self.content).hexdigest()
        """Hash that the index's page states."""
        self.mishaps = IndexMishaps()
        self.ranges: list[str | None] = []
        """Ranges that the engine asked for, in order."""
        self.validators: list[str | None] = []
        """Versions on which these ranges were conditional, in order."""
        self.sent_to_pip = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.index = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    @property
    def version(self) -> str:
        """Entity tag of the wheel."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    index: IndexServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        name = self.server.index.wheel.name
        match self.path:
            case "/simple/carrier/":
                link = f'<a href="/files/{name}#sha256={self.server.index.digest}">{name}</a>'
                self._answer(200, f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), "text/html")
            case path if path == f"/files/{name}":
                self._send_wheel()
            case _:
                self._answer(404, b"", "text/plain")

    def _send_wheel(self) -> None:
        index, mishaps = self.server.index, self.server.index.mishaps
        by_pip = self.headers.get("User-Agent", "").startswith("pip/")
        if by_pip:
            index.sent_to_pip += 1
        else:
            index.ranges.append(self.headers.get("Range"))
            index.validators.append(self.headers.get("If-Range"))
        if mishaps.for_pip_alone and not by_pip:
            self._answer(401, b"", "text/plain")
        elif mishaps.statuses:
            self._answer(mishaps.statuses.pop(0), b"", "text/plain")
        else:
            self._send(self._first_byte())

    def _first_byte(self) -> int:
        index = self.server.index
        same = self.headers.get("If-Range", index.version) == index.version
        wanted = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        return int(wanted) if wanted and same and not index.mishaps.ignore_ranges else 0

    def _send(self, first: int) -> None:
        index = self.server.index
        content = index.content
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", index.version)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        rest = content[first:]
        end = index.mishaps.cut_after.pop(0) if index.mishaps.cut_after else len(rest)
        for begin in range(0, min(end, len(rest)), _PIECE_BYTES):
            self.wfile.write(rest[begin : min(begin + _PIECE_BYTES, end)])
        if end < len(rest):
            self.close_connection = True

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """The requests are kept instead."""
