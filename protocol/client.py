"""The asynchronous client, under asyncio and trio alike: any number of requests in flight on one connection."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import anyio

from protocol.address import default_socket_path, unreachable
from protocol.answer_checks import Reply, RunMessage, expect, is_last, unexpected
from protocol.answers import Accepted, EngineMessage, Welcome
from protocol.arrivals import Arrivals
from protocol.calls import AsyncCalls
from protocol.codec import decode_engine, encode_request
from protocol.errors import EngineError, EngineUnreachable
from protocol.framing import GREETING_S, MAX_REQUEST_BYTES, FrameDecoder, encode_frame
from protocol.large_message import is_large
from protocol.message import Answer, AnswerT, InterimAnswer, InterimT, Request, StreamRequest
from protocol.plan import RunRequest
from protocol.requests import PROTOCOL_VERSION, AskedMessage, Cancel, Hello, Run, Subscribe, Unsubscribe
from protocol.transport import ByteTransport, TransportClosed
from protocol.unix_transport import UnixTransport

_UNREAD_REPLIES = 1024
"""Replies kept for a request that is not being read; then the connection is not read either."""
_AT_ONCE_BYTES = 65_536


class Client(AsyncCalls):
    """A connection to the engine. Every method may raise the error that the engine answers with.

    Open it with :func:`connect`. Methods may be called from any number of tasks. Every message has one of its own
    beside :meth:`ask` and :meth:`follow`, which take any.
    """

    welcome: Welcome

    def __init__(self, transport: ByteTransport) -> None:
        self._transport = transport
        self._request_ids = count(1)
        self._waiting: dict[int, Arrivals] = {}
        self._sending = anyio.Lock()
        self._decoder = FrameDecoder()
        self._frames: deque[bytes] = deque()
        """Frames that were read and are not delivered yet."""
        self._read = False
        """A task reads the connection."""
        self._ended = False
        self._ending: EngineError = EngineUnreachable("the connection was closed")
        """Why the connection ended, once it has."""

    async def ask(self, request: Request[AnswerT]) -> AnswerT:
        """The last answer to a request; those before it are dropped. The client numbers the request itself."""
        async with aclosing(self._exchange(request, Answer)) as replies:
            while isinstance(reply := await anext(replies), InterimAnswer):
                pass
            return expect(reply, request.answer_type())

    def follow(self, request: StreamRequest[InterimT, AnswerT]) -> AsyncGenerator[InterimT | AnswerT, None]:
        """All answers to a request as they come, the last included.

        Closed early, the iterator cancels an execution and ends a subscription: use ``contextlib.aclosing``. Other
        requests go on, unheard, until the client hangs up.
        """
        return self._exchange(request, request.reply_types())

    def run(self, request: RunRequest) -> AsyncGenerator[RunMessage, None]:
        """:meth:`follow` an execution: ``Accepted``, any number of ``Progress`` and ``Tokens``, then ``Finished``."""
        return self.follow(Run(request=request))

    async def post(self, request: AskedMessage) -> None:
        """Send a request and await no answer. No effect once the connection has ended."""
        with suppress(EngineUnreachable):
            await self._send(request.numbered(next(self._request_ids)))

    async def greet(self) -> None:
        """Say ``Hello`` and take the ``Welcome``. Called once, before anything else, when the client is opened."""
        await self._send(Hello(protocol_version=PROTOCOL_VERSION))
        while not self._frames:
            try:
                self._frames += self._decoder.feed(await self._transport.receive())
            except TransportClosed:
                raise self._why_ended() from None
        self.welcome = expect(decode_engine(self._frames.popleft()), Welcome)

    async def _dispatch(self, message: EngineMessage) -> None:
        request_id = getattr(message, "request_id", None)
        if request_id is None:
            raise unexpected(message)
        if (arrived := self._waiting.get(request_id)) is None:
            return
        await arrived.put(message)

    async def _exchange(self, request: Request[Any], kind: type[Reply]) -> AsyncGenerator[Reply, None]:
        """Send a request and yield its replies, of ``kind`` all of them, up to the last."""
        request = request.numbered(next(self._request_ids))
        arriving = self._waiting[request.request_id] = Arrivals(_UNREAD_REPLIES)
        on_leaving: Cancel | Unsubscribe | None = None
        try:
            await self._send(request)
            if isinstance(request, Subscribe):
                on_leaving = Unsubscribe(subscription=request.request_id)
            while True:
                message = await self._receive(arriving)
                if isinstance(message, Accepted):
                    on_leaving = Cancel(execution_id=message.execution_id)
                if is_last(message):
                    on_leaving = None
                    yield expect(message, kind)
                    return
                yield expect(message, kind)
        except EngineUnreachable:
            on_leaving = None
            raise
        finally:
            self._waiting.pop(request.request_id, None)
            arriving.close()
            if on_leaving is not None:
                with anyio.move_on_after(1, shield=True):
                    await self.post(on_leaving)

    async def _receive(self, arriving: Arrivals) -> EngineMessage:
        """The next reply. Raises EngineUnreachable, or the error the connection ended with."""
        while not arriving:
            if self._ended:
                raise self._why_ended()
            if not self._read:
                await self._read_for(arriving)
                continue
            try:
                await arriving.change()
            except BaseException:
                self._let_another_read()  # which may just have become this task's part
                raise
        return arriving.take()

    async def _read_for(self, arriving: Arrivals) -> None:
        """Read the connection for all until something has come for one; then let another task that waits go on.

        A task of its own that read would have the event loop take one more turn for each reply.
        """
        self._read = True
        try:
            while not arriving:
                if not self._frames:
                    self._frames += self._decoder.feed(await self._transport.receive())
                while self._frames:
                    await self._dispatch(await _decoded(self._frames[0]))
                    self._frames.popleft()
        except TransportClosed:
            self._end(EngineUnreachable("the engine hung up"))
        except EngineError as error:
            self._end(error)
        finally:
            self._read = False
            self._let_another_read()

    def _let_another_read(self) -> None:
        if not self._read:
            any(arriving.wake() for arriving in self._waiting.values())

    def _end(self, error: EngineError) -> None:
        """Have every task that waits raise an error."""
        self._ended, self._ending = True, error
        for arriving in self._waiting.values():
            arriving.close()

    def _why_ended(self) -> EngineError:
        """The error that is raised from now on, without the frames of earlier times, which would pile up in it."""
        return self._ending.with_traceback(None)

    async def _send(self, message: Hello | Request[Any]) -> None:
        payload = (
            await anyio.to_thread.run_sync(encode_request, message) if is_large(message) else encode_request(message)
        )
        try:
            async with self._sending:
                await self._transport.send(encode_frame(payload, MAX_REQUEST_BYTES))
        except TransportClosed:
            raise self._why_ended() from None


async def _decoded(frame: bytes) -> EngineMessage:
    """The message, decoded in a thread if that takes milliseconds: the program's other tasks must not wait so long."""
    if len(frame) <= _AT_ONCE_BYTES:
        return decode_engine(frame)
    return await anyio.to_thread.run_sync(decode_engine, frame)


@asynccontextmanager
async def connect(path: Path | None = None) -> AsyncIterator[Client]:
    """A client of the engine at ``path`` (default: :func:`protocol.address.default_socket_path`).

    Raises:
        EngineUnreachable: nothing listens there, or nothing greets within :data:`protocol.framing.GREETING_S`.
    """
    path = path or default_socket_path()
    try:
        transport = await UnixTransport.connect(path, GREETING_S)
    except OSError as error:
        raise unreachable(path, error) from error
    async with open_client(transport, GREETING_S) as client:
        yield client


@asynccontextmanager
async def open_client(
    transport: ByteTransport, patience_s: float | None = None, make: Callable[[ByteTransport], Client] = Client
) -> AsyncIterator[Client]:
    """A client over any transport, of the kind that ``make`` makes; hangs up at the end, which cancels what it has
    running.

    Raises EngineUnreachable: nothing greets within ``patience_s``.
    """
    client = make(transport)
    try:
        try:
            with anyio.fail_after(patience_s):
                await client.greet()
        except TimeoutError as error:
            raise EngineUnreachable(f"the engine does not greet within {patience_s:g} s") from error
        yield client
    finally:
        await transport.aclose()
