"""The page that browsers get at ``/``: one file, and a policy that lets no script run but its own."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEDIA_TYPE: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the headers that it is served with."""

    body: bytes
    headers: dict[str, str]

    @classmethod
    def read(cls) -> Page:
        """The page as it is installed."""
        body = Path(__file__).with_name("page.html").read_bytes()
        return cls(body, {"content-security-policy": _policy(body), **_HEADERS})


def accepts_page(accept: str) -> bool:
    """Whether an ``Accept`` header asks for HTML by name, as browsers do and programs do not."""
    return any(part.partition(";")[0].strip().lower() == "text/html" for part in accept.split(","))


_HEADERS = {
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def _policy(body: bytes) -> str:
    """The page's own script and style, by their hashes, and requests to where it came from. Nothing else."""
    parts = {
        "default-src": "'none'",
        "script-src": _hashes(body, b"script"),
        "style-src": _hashes(body, b"style"),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _hashes(body: bytes, tag: bytes) -> str:
    contents = re.findall(rb"<%b\b[^>]*>(.*?)</%b>" % (tag, tag), body, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(hashlib.sha256(each).digest()).decode()}'" for each in contents)
