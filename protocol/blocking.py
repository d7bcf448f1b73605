"""A client without an event loop, for command lines and scripts: one socket, one thread."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from protocol.address import default_socket_path, unreachable
from protocol.answer_checks import RunMessage, error_of, expect, is_last, unexpected
from protocol.answers import EngineMessage, Failed, Welcome
from protocol.calls import BlockingCalls
from protocol.codec import decode_engine, encode_request
from protocol.errors import EngineUnreachable
from protocol.framing import GREETING_S, MAX_REQUEST_BYTES, FrameDecoder, encode_frame
from protocol.message import AnswerT, InterimAnswer, InterimT, Request, StreamRequest
from protocol.plan import RunRequest
from protocol.requests import PROTOCOL_VERSION, AskedMessage, Hello, Run
from protocol.unix_connect import connect_unix

_RECEIVE_BYTES = 65_536


class BlockingClient(BlockingCalls):
    """A connection to the engine. Every method may raise the error that the engine answers with.

    Replies to other requests that arrive while one is awaited are kept for their turn, so several runs may be read
    in any order. Not for use from several threads at once. Every message has a method of its own beside :meth:`ask` and
    :meth:`follow`, which take any.
    """

    def __init__(self, stream: socket.socket) -> None:
        """Greets the engine over a connected stream. Raises UnsupportedProtocol, Overloaded, EngineUnreachable."""
        self._stream = stream
        self._decoder = FrameDecoder()
        self._frames: deque[bytes] = deque()
        self._request_ids = count(1)
        self._arrived: dict[int, deque[EngineMessage]] = {}
        """Replies not yet taken, by the requests that await some."""
        self._send(Hello(protocol_version=PROTOCOL_VERSION))
        self.welcome = expect(self._receive(), Welcome)

    @classmethod
    def connect(cls, path: Path | None = None, timeout: float | None = None) -> Self:
        """Connect to the socket at ``path`` (default: :func:`protocol.address.default_socket_path`).

        ``timeout`` bounds every single wait on the socket, in seconds; ``None`` waits for ever once it was greeted.

        Raises:
            EngineUnreachable: nothing listens there, or nothing greets within :data:`protocol.framing.GREETING_S`.
        """
        path = path or default_socket_path()
        patience_s = GREETING_S if timeout is None else timeout
        try:
            stream = connect_unix(path, patience_s)
        except OSError as error:
            raise unreachable(path, error) from error
        try:
            stream.settimeout(patience_s)
            client = cls(stream)
            stream.settimeout(timeout)
        except BaseException:
            stream.close()
            raise
        return client

    def close(self) -> None:
        """Hang up; executions started here are cancelled."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, request: Request[AnswerT]) -> AnswerT:
        """The last answer to a request; those before it are dropped. The client numbers the request itself."""
        request_id = self._begin(request)
        while isinstance(message := self._next_reply(request_id), InterimAnswer):
            pass
        return expect(message, request.answer_type())

    def follow(self, request: StreamRequest[InterimT, AnswerT]) -> Iterator[InterimT | AnswerT]:
        """All answers to a request as they come, the last included.

        Left early, the request goes on until this client hangs up.
        """
        request_id, kinds = self._begin(request), request.reply_types()
        last = False
        while not last:
            message = self._next_reply(request_id)
            last = is_last(message)
            yield expect(message, kinds)

    def run(self, request: RunRequest) -> Iterator[RunMessage]:
        """:meth:`follow` an execution: ``Accepted``, any number of ``Progress`` and ``Tokens``, then ``Finished``."""
        return self.follow(Run(request=request))

    def post(self, request: AskedMessage) -> None:
        """Send a request and await no answer. A signal handler may call it while :meth:`follow` is iterated."""
        self._send(request.numbered(next(self._request_ids)))

    def has_arrived(self) -> bool:
        """Whether something has come that was not taken yet, so that the next message may be there without a wait."""
        kept = self._frames or any(self._arrived.values())
        return bool(kept) or bool(select.select([self._stream], [], [], 0.0)[0])

    def _begin(self, request: Request[Any]) -> int:
        request_id = next(self._request_ids)
        self._arrived[request_id] = deque()
        self._send(request.numbered(request_id))
        return request_id

    def _next_reply(self, request_id: int) -> EngineMessage:
        """The next reply to a request. Raises the error of a ``Failed`` that is addressed to it, or to no request."""
        while not self._arrived[request_id]:
            message = self._receive()
            addressee = getattr(message, "request_id", None)
            if addressee is None:
                raise unexpected(message)
            # A reply that is not awaited answers a posted request, or one whose iteration was given up.
            if addressee in self._arrived:
                self._arrived[addressee].append(message)
        message = self._arrived[request_id].popleft()
        if is_last(message):
            del self._arrived[request_id]
        if type(message) is Failed:
            raise error_of(message)
        return message

    def _send(self, message: Hello | Request[Any]) -> None:
        try:
            self._stream.sendall(encode_frame(encode_request(message), MAX_REQUEST_BYTES))
        except OSError as error:
            raise EngineUnreachable(f"the engine hung up: {error}") from error

    def _receive(self) -> EngineMessage:
        while not self._frames:
            try:
                data = self._stream.recv(_RECEIVE_BYTES)
            except TimeoutError as error:
                raise EngineUnreachable(f"the engine did not answer within {self._stream.gettimeout():g} s") from error
            except OSError as error:
                raise EngineUnreachable(f"the engine does not answer: {error}") from error
            if not data:
                raise EngineUnreachable("the engine hung up")
            self._frames.extend(self._decoder.feed(data))
        return decode_engine(self._frames.popleft())
