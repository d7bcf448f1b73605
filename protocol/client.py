"""The asynchronous client, under asyncio and trio alike: any number of requests in flight on one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from protocol.address import default_socket_path
from protocol.answers import (
    Accepted,
    CachedWeightsList,
    CachedWeightsRemoved,
    CachedWeightsVerified,
    Done,
    EngineMessage,
    Evaluated,
    Failed,
    ModelDescription,
    ModelList,
    Planned,
    Progress,
    Quantized,
    StatusReport,
    Text,
    TokenIds,
    Welcome,
)
from protocol.codec import decode_engine, encode
from protocol.errors import EngineError, EngineUnreachable
from protocol.evaluation import EvaluationRequest
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import RunRequest
from protocol.replies import Reply, RunMessage, error_of, expect, is_last, unexpected
from protocol.requests import (
    PROTOCOL_VERSION,
    Cancel,
    Detokenize,
    Evaluate,
    Hello,
    ListCached,
    ListModels,
    ModelInfo,
    Plan,
    PullModel,
    Quantize,
    RemoveCached,
    Request,
    Run,
    Shutdown,
    Status,
    Tokenize,
    VerifyCached,
)
from protocol.stream_transport import StreamTransport
from protocol.transport import ByteTransport, TransportClosed

_UNREAD_REPLIES = 1024
"""Replies kept for a request that is not being read; then the connection is not read either."""


class Replies:
    """The replies to one request. Iterating over them raises the error of a ``Failed``, and ends after the last one.

    As an asynchronous context manager it gives the request up on exit: an execution that has not finished is cancelled.
    """

    def __init__(self, client: Client, request_id: int, arriving: MemoryObjectReceiveStream[EngineMessage]) -> None:
        self._client = client
        self._request_id = request_id
        self._arriving = arriving
        self._execution_id: str | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more replies; cancel the execution if it still runs."""
        self._client.forget(self._request_id)
        self._arriving.close()
        if self._execution_id is not None and not self._ended:
            self._ended = True
            with anyio.move_on_after(1, shield=True):
                await self._client.post_cancel(self._execution_id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EngineMessage:
        if self._ended:
            raise StopAsyncIteration
        message = await self.receive()
        if isinstance(message, Accepted):
            self._execution_id = message.execution_id
        if is_last(message):
            self._ended = True
            self._client.forget(self._request_id)
            self._arriving.close()
        if isinstance(message, Failed):
            raise error_of(message)
        return message

    async def receive(self) -> EngineMessage:
        """The next reply, whatever it is. Raises EngineUnreachable, or the error the connection ended with."""
        try:
            return await self._arriving.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended = True
            raise self._client.ending from None


class Client:
    """A connection to the engine. Every method may raise the error that the engine answers with.

    Open it with :func:`connect`. Methods may be called from any number of tasks.
    """

    welcome: Welcome

    def __init__(self, transport: ByteTransport) -> None:
        self._transport = transport
        self._request_ids = count(1)
        self._waiting: dict[int, MemoryObjectSendStream[EngineMessage]] = {}
        self._sending = anyio.Lock()
        self.ending: EngineError = EngineUnreachable("the connection was closed")
        """Why the connection ended, once it has."""

    async def run(self, request: RunRequest) -> AsyncGenerator[RunMessage, None]:
        """Execute: ``Accepted``, any number of ``Progress`` and ``Tokens``, and ``Finished``.

        Left early, the iterator cancels the execution when it is closed: use ``contextlib.aclosing``.
        """
        async with await self._ask(Run(request_id=next(self._request_ids), request=request)) as replies:
            async for message in replies:
                if not isinstance(message, RunMessage):
                    raise unexpected(message)
                yield message

    def pull_model(self, model: str) -> AsyncGenerator[Progress | ModelDescription, None]:
        """Fetch a model: any number of ``Progress``, then its ``ModelDescription``."""
        return self._follow(PullModel(request_id=next(self._request_ids), model=model), ModelDescription)

    def quantize(
        self,
        model: str,
        recipe: str,
        output: Path,
        *,
        importance: Path | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> AsyncGenerator[Progress | Quantized, None]:
        """Write a model as a file in a recipe's types: any number of ``Progress``, then ``Quantized``.

        Left early, the iterator cancels it when it is closed: use ``contextlib.aclosing``.
        """
        request = Quantize(
            request_id=next(self._request_ids),
            model=model,
            recipe=recipe,
            output=str(output.absolute()),
            importance=None if importance is None else str(importance.absolute()),
            backend=backend,
            threads=threads,
        )
        return self._follow(request, Quantized)

    def evaluate(self, request: EvaluationRequest) -> AsyncGenerator[Progress | Evaluated, None]:
        """Measure how well a model predicts a text: any number of ``Progress``, then ``Evaluated``."""
        return self._follow(Evaluate(request_id=next(self._request_ids), request=request), Evaluated)

    async def list_cached(self) -> CachedWeightsList:
        return await self._call(ListCached(request_id=next(self._request_ids)), CachedWeightsList)

    async def remove_cached(self, names: Sequence[str] = ()) -> CachedWeightsRemoved:
        """Remove derived weights; of no names, all that no engine uses."""
        request = RemoveCached(request_id=next(self._request_ids), names=tuple(names))
        return await self._call(request, CachedWeightsRemoved)

    async def verify_cached(self, names: Sequence[str] = ()) -> CachedWeightsVerified:
        """Check derived weights; of no names, all."""
        request = VerifyCached(request_id=next(self._request_ids), names=tuple(names))
        return await self._call(request, CachedWeightsVerified)

    async def cancel(self, execution_id: str) -> None:
        await self._call(Cancel(request_id=next(self._request_ids), execution_id=execution_id), Done)

    async def post_cancel(self, execution_id: str) -> None:
        """Ask for a cancel without awaiting the answer. No effect once the connection has ended."""
        try:
            await self._send(Cancel(request_id=next(self._request_ids), execution_id=execution_id))
        except EngineUnreachable:
            return  # a disconnect cancels too

    async def plan(self, request: RunRequest) -> Planned:
        return await self._call(Plan(request_id=next(self._request_ids), request=request), Planned)

    async def status(self) -> StatusReport:
        return await self._call(Status(request_id=next(self._request_ids)), StatusReport)

    async def list_models(self) -> ModelList:
        return await self._call(ListModels(request_id=next(self._request_ids)), ModelList)

    async def model_info(self, model: str) -> ModelDescription:
        return await self._call(ModelInfo(request_id=next(self._request_ids), model=model), ModelDescription)

    async def tokenize(
        self, model: str, text: str, *, add_special: bool = True, parse_special: bool = False
    ) -> TokenIds:
        request = Tokenize(
            request_id=next(self._request_ids),
            model=model,
            text=text,
            add_special=add_special,
            parse_special=parse_special,
        )
        return await self._call(request, TokenIds)

    async def detokenize(self, model: str, token_ids: tuple[int, ...]) -> Text:
        request = Detokenize(request_id=next(self._request_ids), model=model, token_ids=token_ids)
        return await self._call(request, Text)

    async def shutdown(self) -> None:
        """Stop the engine; returns when nothing runs any more."""
        await self._call(Shutdown(request_id=next(self._request_ids)), Done)

    async def greet(self) -> None:
        """Say ``Hello`` and take the ``Welcome``. Called once, before anything else, by whoever opens the client."""
        decoder = FrameDecoder()
        await self._send(Hello(protocol_version=PROTOCOL_VERSION))
        frames: list[bytes] = []
        while not frames:
            try:
                frames = decoder.feed(await self._transport.receive())
            except TransportClosed:
                raise self.ending from None
        self.welcome = expect(decode_engine(frames[0]), Welcome)

    async def read(self) -> None:
        """Hand replies to the requests that await them until the connection ends; then those raise why."""
        decoder = FrameDecoder()
        try:
            while True:
                for frame in decoder.feed(await self._transport.receive()):
                    await self._dispatch(decode_engine(frame))
        except TransportClosed:
            self.ending = EngineUnreachable("the engine hung up")
        except EngineError as error:
            self.ending = error
        finally:
            for arrived in self._waiting.values():
                arrived.close()
            self._waiting.clear()

    def forget(self, request_id: int) -> None:
        """Drop the replies to a request from now on."""
        if arrived := self._waiting.pop(request_id, None):
            arrived.close()

    async def _dispatch(self, message: EngineMessage) -> None:
        request_id = getattr(message, "request_id", None)
        if request_id is None:
            raise unexpected(message)
        arrived = self._waiting.get(request_id)
        if arrived is None:
            return
        try:
            await arrived.send(message)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # given up while its replies stood in line

    async def _ask(self, request: Request) -> Replies:
        arrived, arriving = anyio.create_memory_object_stream[EngineMessage](_UNREAD_REPLIES)
        self._waiting[request.request_id] = arrived
        replies = Replies(self, request.request_id, arriving)
        try:
            await self._send(request)
        except BaseException:
            await replies.aclose()
            raise
        return replies

    async def _follow(self, request: Request, kind: type[Reply]) -> AsyncGenerator[Progress | Reply, None]:
        async with await self._ask(request) as replies:
            async for message in replies:
                yield message if isinstance(message, Progress) else expect(message, kind)

    async def _call(self, request: Request, kind: type[Reply]) -> Reply:
        async with await self._ask(request) as replies:
            return expect(await replies.receive(), kind)

    async def _send(self, message: Hello | Request) -> None:
        try:
            async with self._sending:
                await self._transport.send(encode_frame(encode(message)))
        except TransportClosed:
            raise self.ending from None


@asynccontextmanager
async def connect(path: Path | None = None) -> AsyncIterator[Client]:
    """A client of the engine at ``path`` (default: :func:`protocol.address.default_socket_path`).

    Raises:
        EngineUnreachable: nothing listens there.
    """
    path = path or default_socket_path()
    try:
        stream = await anyio.connect_unix(path)
    except OSError as error:
        raise EngineUnreachable(f"no engine answers at {path}: {error}", socket=str(path)) from error
    async with open_client(StreamTransport(stream)) as client:
        yield client


@asynccontextmanager
async def open_client(transport: ByteTransport) -> AsyncIterator[Client]:
    """A client over any transport; hangs up at the end, which cancels what it has running."""
    client = Client(transport)
    failure: Exception | None = None
    try:
        await client.greet()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.read)
            try:
                yield client
            except Exception as error:
                failure = error
            tasks.cancel_scope.cancel()
    finally:
        await transport.aclose()
    if failure is not None:
        raise failure
