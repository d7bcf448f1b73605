"""The asynchronous client, under asyncio and trio alike: any number of requests in flight on one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from protocol.address import default_socket_path
from protocol.answers import (
    CachedWeightsList,
    CachedWeightsRemoved,
    CachedWeightsVerified,
    Done,
    EngineMessage,
    Evaluated,
    Event,
    LiveEnergy,
    MetricsReport,
    ModelDescription,
    ModelList,
    ModelRemoved,
    Planned,
    Progress,
    Quantized,
    StatusReport,
    Subscribed,
    Text,
    TokenIds,
    Welcome,
)
from protocol.codec import decode_engine, encode
from protocol.errors import EngineError, EngineUnreachable
from protocol.evaluation import EvaluationRequest
from protocol.events import EventFilter
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import EnergySource, RunRequest
from protocol.replies import Reply, RunMessage, expect, unexpected
from protocol.reply_stream import ReplyStream
from protocol.requests import (
    PROTOCOL_VERSION,
    Cancel,
    ClearPrefixCache,
    Detokenize,
    Energy,
    Evaluate,
    Hello,
    ListCached,
    ListModels,
    Metrics,
    ModelInfo,
    Plan,
    PullModel,
    Quantize,
    RemoveCached,
    RemoveModel,
    Replay,
    Request,
    Run,
    Shutdown,
    Status,
    Subscribe,
    Tokenize,
    Unsubscribe,
    VerifyCached,
)
from protocol.stream_transport import StreamTransport
from protocol.transport import ByteTransport, TransportClosed

_UNREAD_REPLIES = 1024
"""Replies kept for a request that is not being read; then the connection is not read either."""


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

    async def call(self, make: Callable[[int], Request], kind: type[Reply]) -> Reply:
        """Ask what is answered by one message of ``kind``; ``make`` is given the request's id."""
        return await self._call(make(next(self._request_ids)), kind)

    def follow(self, make: Callable[[int], Request], kind: type[Reply]) -> AsyncGenerator[Progress | Reply, None]:
        """As :meth:`call`, after any number of ``Progress``. Left early it cancels: use ``contextlib.aclosing``."""
        return self._follow(make(next(self._request_ids)), kind)

    def run(self, request: RunRequest) -> AsyncGenerator[RunMessage, None]:
        """Execute: ``Accepted``, any number of ``Progress`` and ``Tokens``, and ``Finished``.

        Left early, the iterator cancels the execution when it is closed: use ``contextlib.aclosing``.
        """
        return self._execute(Run(request_id=next(self._request_ids), request=request))

    def replay(self, execution_id: str) -> AsyncGenerator[RunMessage, None]:
        """Run a recorded execution's plan and prompt again; the same messages as for :meth:`run`."""
        return self._execute(Replay(request_id=next(self._request_ids), execution_id=execution_id))

    async def _execute(self, request: Run | Replay) -> AsyncGenerator[RunMessage, None]:
        async with await self._ask(request) as replies:
            async for message in replies:
                if not isinstance(message, RunMessage):
                    raise unexpected(message)
                yield message

    def pull_model(self, model: str) -> AsyncGenerator[Progress | ModelDescription, None]:
        """Fetch a model: any number of ``Progress``, then its ``ModelDescription``.

        Left early, the iterator ends the pull when it is closed: use ``contextlib.aclosing``.
        """
        return self._follow(PullModel(request_id=next(self._request_ids), model=model), ModelDescription)

    async def remove_model(self, model: str, *, dry_run: bool = False) -> ModelRemoved:
        """Remove a model's files, or say what would go."""
        request = RemoveModel(request_id=next(self._request_ids), model=model, dry_run=dry_run)
        return await self._call(request, ModelRemoved)

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

    async def subscribe(
        self, wanted: EventFilter | None = None, after: int | None = None
    ) -> AsyncGenerator[Subscribed | Event, None]:
        """Observe executions: ``Subscribed``, then ``Event``s until the iterator is closed or the engine stops.

        ``after``: replay the lasting events after this sequence number; 0 for all that are kept.
        """
        request = Subscribe(request_id=next(self._request_ids), wanted=wanted or EventFilter(), after=after)
        async with await self._ask(request) as replies:
            try:
                async for message in replies:
                    if isinstance(message, Subscribed | Event):
                        yield message
            finally:
                with anyio.move_on_after(1, shield=True), suppress(EngineUnreachable):
                    await self._send(Unsubscribe(request_id=next(self._request_ids), subscription=request.request_id))

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

    async def metrics(self) -> MetricsReport:
        return await self._call(Metrics(request_id=next(self._request_ids)), MetricsReport)

    async def energy(self, source: EnergySource | None = None) -> LiveEnergy:
        """What the machine draws now, averaged over a second at least; see :class:`protocol.requests.Energy`."""
        return await self._call(Energy(request_id=next(self._request_ids), source=source), LiveEnergy)

    async def list_models(self) -> ModelList:
        return await self._call(ListModels(request_id=next(self._request_ids)), ModelList)

    async def model_info(self, model: str) -> ModelDescription:
        return await self._call(ModelInfo(request_id=next(self._request_ids), model=model), ModelDescription)

    async def clear_prefix_cache(self) -> None:
        await self._call(ClearPrefixCache(request_id=next(self._request_ids)), Done)

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

    async def shutdown(self, drain_s: float = 0.0) -> None:
        """Stop the engine; what runs has ``drain_s`` to finish. Returns when nothing runs any more."""
        await self._call(Shutdown(request_id=next(self._request_ids), drain_s=drain_s), Done)

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
        if (arrived := self._waiting.get(request_id)) is None:
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # given up while its replies stood in line
            try:  # waiting only where there is no room spares a turn of the event loop for every message
                arrived.send_nowait(message)
            except anyio.WouldBlock:
                await arrived.send(message)

    async def _ask(self, request: Request) -> ReplyStream:
        arrived, arriving = anyio.create_memory_object_stream[EngineMessage](_UNREAD_REPLIES)
        self._waiting[request.request_id] = arrived
        replies = ReplyStream(self, request.request_id, arriving)
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
