"""A client that builds no schema: for a command whose first word must not wait for them.

Requests are plain maps, which the engine checks; answers are those of :mod:`protocol.run_view`.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from protocol.address import default_socket_path, unreachable
from protocol.error_codes import error_from_wire
from protocol.errors import BadFrame, EngineUnreachable
from protocol.framing import GREETING_S, MAX_REQUEST_BYTES, PROTOCOL_VERSION, FrameDecoder, encode_frame
from protocol.run_view import (
    ShownAccepted,
    ShownAdvice,
    ShownAnswer,
    ShownFailed,
    ShownMessage,
    ShownProgress,
    ShownPulled,
    ShownRun,
    ShownTokens,
    ShownWelcome,
)
from protocol.unix_connect import connect_unix

if TYPE_CHECKING:
    from typing_extensions import Self

    from protocol.answers import Finished

_RECEIVE_BYTES = 65_536
_INTERIM = (ShownAccepted, ShownProgress, ShownTokens)


class LightClient:
    """A connection to the engine. Every method may raise the error that the engine answers with.

    One request at a time; not for use from several threads at once.
    """

    def __init__(self, stream: socket.socket) -> None:
        """Greets the engine over a connected stream. Raises UnsupportedProtocol, Overloaded, EngineUnreachable."""
        self._stream = stream
        self._decoder = FrameDecoder()
        self._frames: deque[bytes] = deque()
        self._request_ids = count(1)
        self._messages = msgspec.msgpack.Decoder(ShownMessage)
        self._payload = b""
        """The latest frame's."""
        self._send({"type": "Hello", "protocol_version": PROTOCOL_VERSION})
        welcome = self._receive()
        if isinstance(welcome, ShownFailed):
            raise _error_of(welcome)
        if not isinstance(welcome, ShownWelcome):
            raise _misplaced(welcome)

    @classmethod
    def connect(cls, path: Path | None = None) -> Self:
        """Connect to the socket at ``path`` (default: :func:`protocol.address.default_socket_path`).

        Raises:
            EngineUnreachable: nothing listens there, or nothing greets within :data:`protocol.framing.GREETING_S`.
        """
        path = path or default_socket_path()
        try:
            stream = connect_unix(path, GREETING_S)
        except OSError as error:
            raise unreachable(path, error) from error
        try:
            stream.settimeout(GREETING_S)
            client = cls(stream)
            stream.settimeout(None)
        except BaseException:
            stream.close()
            raise
        return client

    def close(self) -> None:
        """Hang up; an execution started here is cancelled."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advice(self, model: str) -> ShownAdvice:
        """What a model's file advises. Raises UnknownModel and what else resolving a model raises."""
        (answer,) = self._replies({"type": "ModelAdvice", "model": model})
        if not isinstance(answer, ShownAdvice):
            raise _misplaced(answer)
        return answer

    def pull(self, model: str) -> Iterator[ShownProgress | ShownPulled]:
        """Fetch a model: any number of progress, then its end. Raises what ``PullModel`` is refused with."""
        for answer in self._replies({"type": "PullModel", "model": model}):
            if not isinstance(answer, ShownProgress | ShownPulled):
                raise _misplaced(answer)
            yield answer

    def run(self, request: dict[str, Any]) -> Iterator[ShownRun]:
        """The answers to a Run Request in plain values: accepted, any number of progress and tokens, then its end."""
        for answer in self._replies({"type": "Run", "request": request}):
            if not isinstance(answer, ShownRun):
                raise _misplaced(answer)
            yield answer

    def finished(self) -> Finished:
        """The whole of the message that :meth:`run` ended with. Builds its schema, which takes a tenth of a second."""
        from protocol.answers import Finished  # noqa: PLC0415
        from protocol.codec import decode_engine  # noqa: PLC0415

        message = decode_engine(self._payload)
        if not isinstance(message, Finished):
            raise _misplaced(message)
        return message

    def cancel(self, execution_id: str) -> None:
        """Ask to cancel, and await no answer. A signal handler may call it while :meth:`run` is iterated."""
        self._send({"type": "Cancel", "request_id": next(self._request_ids), "execution_id": execution_id})

    def _replies(self, content: dict[str, Any]) -> Iterator[ShownAnswer]:
        """The replies to one request, up to the last; what answers a request that was only posted is dropped."""
        request_id = next(self._request_ids)
        self._send({**content, "request_id": request_id})
        while True:
            message = self._receive()
            if isinstance(message, ShownWelcome):
                raise _misplaced(message)
            if isinstance(message, ShownFailed) and message.request_id in (None, request_id):
                raise _error_of(message)
            if isinstance(message, ShownFailed) or message.request_id != request_id:
                continue
            yield message
            if not isinstance(message, _INTERIM):
                return

    def _send(self, content: dict[str, Any]) -> None:
        try:
            self._stream.sendall(encode_frame(_encoded(content), MAX_REQUEST_BYTES))
        except OSError as error:
            raise EngineUnreachable(f"the engine hung up: {error.strerror or error}") from error

    def _receive(self) -> ShownMessage:
        while not self._frames:
            try:
                data = self._stream.recv(_RECEIVE_BYTES)
            except TimeoutError as error:
                raise EngineUnreachable(f"the engine did not answer within {self._stream.gettimeout():g} s") from error
            except OSError as error:
                raise EngineUnreachable(f"the engine does not answer: {error.strerror or error}") from error
            if not data:
                raise EngineUnreachable("the engine hung up")
            self._frames.extend(self._decoder.feed(data))
        self._payload = self._frames.popleft()
        try:
            return self._messages.decode(self._payload)
        except msgspec.MsgspecError as error:
            raise BadFrame(f"the engine's answer cannot be read: {error}") from error


def _encoded(content: dict[str, Any]) -> bytes:
    try:
        return msgspec.msgpack.encode(content)
    except (UnicodeEncodeError, OverflowError):
        # Text that is no Unicode, or an integer beyond the wire's: the checks of other clients say which, and where.
        from protocol.codec import client_message, encode_request  # noqa: PLC0415

        return encode_request(client_message(content))


def _error_of(message: ShownFailed) -> Exception:
    return error_from_wire(message.code, message.message, message.params)


def _misplaced(message: object) -> BadFrame:
    return BadFrame(f"the engine answered with a {type(message).__name__} where none belongs")
