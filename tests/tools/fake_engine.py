"""A hand-written engine on a real Unix socket: it answers what the test says and remembers what it was asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Self

from protocol.answers import EngineMessage, Welcome
from protocol.codec import decode_client, encode
from protocol.framing import FrameDecoder, encode_frame
from protocol.message import Request
from protocol.requests import PROTOCOL_VERSION, ClientMessage, Hello

RequestT = TypeVar("RequestT", bound=Request[Any])
Answer = Callable[[ClientMessage], Sequence[EngineMessage]]


class FakeEngine:
    """Serves one connection after another until closed. The answers to a message are sent in one piece."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.received: list[ClientMessage] = []
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def requests(self, kind: type[RequestT]) -> list[RequestT]:
        return [message for message in self.received if isinstance(message, kind)]

    def _serve(self) -> None:
        with suppress(OSError):  # the listener was shut down
            while True:
                stream, _ = self._listener.accept()
                with stream, suppress(ConnectionError):
                    self._converse(stream)

    def _converse(self, stream: socket.socket) -> None:
        decoder = FrameDecoder()
        while data := stream.recv(65_536):
            for frame in decoder.feed(data):
                message = decode_client(frame)
                self.received.append(message)
                for reply in self._replies(message):
                    stream.sendall(encode_frame(encode(reply)))

    def _replies(self, message: ClientMessage) -> Sequence[EngineMessage]:
        if isinstance(message, Hello):
            return [Welcome(engine_version="0.0", protocol_version=PROTOCOL_VERSION, capabilities=(), limits={})]
        return self._answer(message)
