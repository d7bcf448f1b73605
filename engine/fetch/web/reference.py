"""Addresses of models on the web, and where each lies once it is here.

https://HOST[:PORT]/PATH/FILE.gguf[#sha256=HEX]    the checksum is none of the name
MODELS/web/https/HOST[:PORT]/PATH/FILE.gguf
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import Self

from protocol.errors import InvalidRequest

DIRECTORY: Final = "web"
"""In the models directory."""
_MAX_COMPONENT_BYTES: Final = 200
"""File systems take 255 bytes, and unfinished files have longer names."""
_REFERENCE = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:\d{1,5})?"
    r"/(?P<path>[A-Za-z0-9._~!$&'()*+,;=:@%/-]+\.gguf)(?:#sha256=(?P<sha256>[0-9a-f]{64}))?",
    re.IGNORECASE,
)
_PORT = re.compile(r":\d+$")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class WebReference:
    """A GGUF at an address: one that has no query and no password, since it becomes a name that others see."""

    scheme: str
    authority: str
    """The host in lower case, and the port where it is not the scheme's own."""
    path: str
    sha256: str | None = None
    """What its content must have, in hexadecimal; ``None`` where only the sender's word holds it."""

    def __post_init__(self) -> None:
        """Raises InvalidRequest for what could lie outside its own directory, or be changed on its way."""
        for part in self.path.split("/"):
            if not part or part.startswith(".") or len(part) > _MAX_COMPONENT_BYTES:
                raise _refusal(self.name)
        if self.scheme == "http" and _PORT.sub("", self.authority) not in _LOOPBACK:
            raise InvalidRequest(
                f"{self.name[:200]} could be changed on its way: only https is taken from other machines",
                field="model",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidRequest."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise _refusal(text)
        sha256 = found["sha256"]
        authority = found["host"].lower() + (found["port"] or "")
        return cls(found["scheme"].lower(), authority, found["path"], sha256.lower() if sha256 else None)

    @property
    def name(self) -> str:
        """The address without the checksum."""
        return f"{self.scheme}://{self.authority}/{self.path}"

    @property
    def place(self) -> Path:
        """Where its file lies, relative to the models directory."""
        return Path(DIRECTORY, self.scheme, self.authority, *self.path.split("/"))


def is_address(text: str) -> bool:
    """Whether a model's name asks for the web."""
    return text.lower().startswith(("https://", "http://"))


def web_name_at(place: Path) -> str | None:
    """The name of the model whose file lies there, relative to the models directory; ``None`` where none may."""
    try:
        _, scheme, authority, *path = place.parts
        return WebReference.parse(f"{scheme}://{authority}/{'/'.join(path)}").name
    except (ValueError, InvalidRequest):
        return None


def _refusal(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:200]!r} is no address of a model; the form is https://HOST/PATH/FILE.gguf[#sha256=HEX], without a "
        "query, a user or a password",
        field="model",
    )
