"""A package index on 127.0.0.1 with one wheel: what pip asks of one, and ranges of the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.local_server import LocalHandler, LocalServer

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


class IndexServer(LocalServer):
    """Serves until the end of the context."""

    def __init__(self, wheel: Path) -> None:
        super().__init__(_Handler)
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

    @property
    def url(self) -> str:
        return f"{self.origin()}/simple"

    @property
    def version(self) -> str:
        """Entity tag of the wheel."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:8]}"'


class _Handler(LocalHandler[IndexServer]):
    def get(self) -> None:
        name = self.owner.wheel.name
        match self.path:
            case "/simple/carrier/":
                link = f'<a href="/files/{name}#sha256={self.owner.digest}">{name}</a>'
                self._answer(200, f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), "text/html")
            case path if path == f"/files/{name}":
                self._send_wheel()
            case _:
                self._answer(404, b"", "text/plain")

    def _send_wheel(self) -> None:
        index, mishaps = self.owner, self.owner.mishaps
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
        index = self.owner
        same = self.headers.get("If-Range", index.version) == index.version
        wanted = self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        return int(wanted) if wanted and same and not index.mishaps.ignore_ranges else 0

    def _send(self, first: int) -> None:
        index = self.owner
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
