"""A web server on 127.0.0.1 with files in memory, ranges of them, and what goes wrong as a test asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.support.local_server import LocalHandler, LocalServer


@dataclass
class WebServer(LocalServer):
    """Serves until the end of the context."""

    files: dict[str, bytes] = field(default_factory=dict)
    """The contents of files, by path."""
    redirects: dict[str, str] = field(default_factory=dict)
    """From a path to a path."""
    cut_after: list[int] = field(default_factory=list)
    """Bytes of each of the next answers, after which the connection breaks."""
    ranges_ignored: bool = False
    """Whether every answer is the whole file."""
    sizes_told: bool = True
    """Whether answers say how long they are."""
    ranges: list[str | None] = field(default_factory=list)
    """That were asked for, in order, by requests which a file answered."""
    accepted: list[str | None] = field(default_factory=list)
    """Media types of the same requests."""

    def __post_init__(self) -> None:
        super().__init__(_Handler)

    @property
    def url(self) -> str:
        return self.origin()


class _Handler(LocalHandler[WebServer]):
    def get(self) -> None:
        web = self.owner
        if self.path in web.redirects:
            self.send_response(307)
            self.send_header("Location", web.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path in web.files:
            self._send(web.files[self.path])
        else:
            self.send_error(404)

    def _send(self, content: bytes) -> None:
        web, wanted = self.owner, self.headers.get("Range")
        web.ranges.append(wanted)
        web.accepted.append(self.headers.get("Accept"))
        if web.ranges_ignored:
            wanted = None
        first, last = 0, len(content) - 1
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(last, int(end)) if end else last
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:8]}"')
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        if web.sizes_told:
            self.send_header("Content-Length", str(last + 1 - first))
        else:
            self.close_connection = True
        self.end_headers()
        rest = content[first : last + 1]
        sent = web.cut_after.pop(0) if web.cut_after and len(rest) > web.cut_after[0] else len(rest)
        self.wfile.write(rest[:sent])
        if sent < len(rest):
            self.close_connection = True
