"""What the first line of a request asks for, in each of the forms that HTTP/1.1 has for it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from typing_extensions import Self

_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^\s:@\[\]\\#]+)(:[0-9]*)?")
"""A host and a port, and nobody's name before them: one client's host could be another's password."""


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """A path and a query, and the host that is named with them."""

    path: str
    """Decoded."""
    raw_path: bytes
    query: bytes
    authority: bytes | None = None
    """Host and port of a whole URL, which count before the header ``Host``."""

    @classmethod
    def parse(cls, target: bytes) -> Self:
        """A path, a whole URL as clients of a proxy send it, or ``*``. Raises ValueError: it is none of them."""
        authority = None
        if not target.startswith(b"/") and target != b"*":
            scheme, slashes, rest = target.partition(b"://")
            if not slashes or scheme.lower() not in {b"http", b"https"}:
                raise ValueError("the request's target is neither a path nor an http URL")
            end = min((at for at in map(rest.find, (b"/", b"?")) if at >= 0), default=len(rest))
            authority, target = rest[:end], rest[end:]
            if not _AUTHORITY.fullmatch(authority):
                raise ValueError("the request's target names no host, or more than a host and a port")
            target = target if target.startswith(b"/") else b"/" + target
        raw_path, _, query = target.partition(b"?")
        return cls(unquote(raw_path.decode("latin-1")), raw_path, query, authority)
