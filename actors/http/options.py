"""Where HTTP is served, and what it may be asked for there."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import Self

from actors.unix_socket import UnixSocket
from protocol.dialects.shape import parse_json
from protocol.errors import InvalidRequest

MIN_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where to listen over TCP."""

    host: str
    """A literal address, or ``localhost``."""
    port: int
    """0: one that is free."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """``HOST:PORT``, the host of IPv6 in brackets. Raises InvalidRequest."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65_536):
            raise _refusal(f"{text!r} is no HOST:PORT")
        if host != "localhost":
            try:
                ipaddress.ip_address(host)
            except ValueError as error:
                raise _refusal(f"{host!r} is neither an address nor localhost") from error
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether programs of this machine alone can reach it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpRules:
    """What clients may do, beyond what every client may."""

    secret: bytes | None = None
    """Asked of clients over TCP."""
    origins: frozenset[str] = frozenset()
    """Web pages' origins that may speak to the engine from a browser."""
    default_model: str | None = None
    """Answers where a request names no model, or one that is unknown."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the dialects' requests that count where a request has none of its own."""
    allow_paths: bool = False
    """Over TCP with a secret, models may be named by their paths."""
    allow_manage: bool = False
    """Over TCP, models may be pulled and removed, and the engine be told to stop."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Where HTTP is served, and by which rules."""

    socket_path: Path | None
    tcp: tuple[TcpAddress, ...] = ()
    rules: HttpRules = HttpRules()
    passed: UnixSocket | None = None
    """A listening socket that a service manager made: served instead of one at ``socket_path``."""

    def __post_init__(self) -> None:
        """Raises InvalidRequest where others than this machine could come in without a secret."""
        for address in self.tcp:
            if not address.is_loopback and self.rules.secret is None:
                raise _refusal(
                    f"{address} can be reached from elsewhere: give --http-token-file, or listen on 127.0.0.1"
                )


def read_secret(path: Path) -> bytes:
    """The first line of a file that only its owner may read. Raises InvalidRequest."""
    try:
        mode = path.stat().st_mode
        secret = path.read_bytes().split(b"\n", 1)[0].strip()
    except OSError as error:
        raise _refusal(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise _refusal(f"{path} is open to others; run: chmod 600 {path}")
    if len(secret) < MIN_SECRET_BYTES:
        raise _refusal(f"{path} holds a secret of {len(secret)} bytes; it needs {MIN_SECRET_BYTES} at least")
    return secret


def read_defaults(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises InvalidRequest."""
    try:
        return parse_json(path.read_bytes())
    except OSError as error:
        raise _refusal(f"{path} cannot be read: {error.strerror}") from error
    except InvalidRequest as error:
        raise _refusal(f"{path}: {error.message}") from error


def _refusal(reason: str) -> InvalidRequest:
    return InvalidRequest(reason, field="http", reason=reason)
