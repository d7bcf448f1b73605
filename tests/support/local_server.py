"""Web servers of tests, on 127.0.0.1: what they share, whatever they answer."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar, cast

from typing_extensions import Self

ServerT = TypeVar("ServerT", bound="LocalServer")


class LocalServer:
    """Serves until the end of the context, each of its handlers on a port of its own."""

    def __init__(self, *handlers: type[LocalHandler[Any]]) -> None:
        self._ports = [_Port(handler, self) for handler in handlers]

    def origin(self, number: int = 0) -> str:
        """Address of the handler of that number."""
        return f"http://127.0.0.1:{self._ports[number].server_port}"

    def __enter__(self) -> Self:
        for port in self._ports:
            threading.Thread(target=port.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *ended: object) -> None:
        for port in self._ports:
            port.shutdown()
            port.server_close()


class _Port(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[LocalHandler[Any]], owner: LocalServer) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


class LocalHandler(ABC, BaseHTTPRequestHandler, Generic[ServerT]):
    """A connection to such a server."""

    protocol_version = "HTTP/1.1"
    server: _Port

    @property
    def owner(self) -> ServerT:
        """The server with its files and mishaps."""
        return cast("ServerT", self.server.owner)

    def do_GET(self) -> None:
        self.get()

    @abstractmethod
    def get(self) -> None:
        """Answer what is asked for."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """The requests are kept instead."""
