"""A client without an event loop, for command lines and scripts: one socket, one thread."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.address import default_socket_path
from protocol.answers import (
    CachedWeightsList,
    CachedWeightsRemoved,
    CachedWeightsVerified,
    Done,
    EngineMessage,
    Evaluated,
    Event,
    Failed,
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
from protocol.errors import EngineUnreachable
from protocol.evaluation import EvaluationRequest
from protocol.events import EventFilter
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import EnergySource, RunRequest
from protocol.replies import Reply, RunMessage, error_of, expect, is_last, unexpected
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
    VerifyCached,
)

_RECEIVE_BYTES = 65_536


class BlockingClient:
    """A connection to the engine. Every method may raise the error that the engine answers with.

    Replies to other requests that arrive while one is awaited are kept for their turn, so several runs may be read
    in any order. Not for use from several threads at once.
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

        ``timeout`` bounds every single wait on the socket, in seconds; ``None`` waits for ever.

        Raises:
            EngineUnreachable: nothing listens there.
        """
        path = path or default_socket_path()
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(timeout)
            stream.connect(str(path))
            return cls(stream)
        except OSError as error:
            stream.close()
            raise EngineUnreachable(f"no engine answers at {path}: {error}", socket=str(path)) from error
        except BaseException:
            stream.close()
            raise

    def close(self) -> None:
        """Hang up; executions started here are cancelled."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, make: Callable[[int], Request], kind: type[Reply]) -> Reply:
        """Ask what is answered by one message of ``kind``; ``make`` is given the request's id."""
        return self._call(make(next(self._request_ids)), kind)

    def follow(self, make: Callable[[int], Request], kind: type[Reply]) -> Iterator[Progress | Reply]:
        """As :meth:`call`, after any number of ``Progress``."""
        return self._follow(make(next(self._request_ids)), kind)

    def run(self, request: RunRequest) -> Iterator[RunMessage]:
        """Execute: ``Accepted``, any number of ``Progress`` and ``Tokens``, and ``Finished``."""
        return self._execute(Run(request_id=next(self._request_ids), request=request))

    def replay(self, execution_id: str) -> Iterator[RunMessage]:
        """Run a recorded execution's plan and prompt again; the same messages as for :meth:`run`."""
        return self._execute(Replay(request_id=next(self._request_ids), execution_id=execution_id))

    def _execute(self, request: Run | Replay) -> Iterator[RunMessage]:
        request_id = self._ask(request)
        while True:
            message = self._next_reply(request_id)
            if not isinstance(message, RunMessage):
                raise unexpected(message)
            yield message
            if is_last(message):
                return

    def subscribe(self, wanted: EventFilter | None = None, after: int | None = None) -> Iterator[Subscribed | Event]:
        """Observe executions: ``Subscribed``, then ``Event``s until the engine stops. See :meth:`Client.subscribe`."""
        request = Subscribe(request_id=next(self._request_ids), wanted=wanted or EventFilter(), after=after)
        request_id = self._ask(request)
        while isinstance(message := self._next_reply(request_id), Subscribed | Event):
            yield message

    def post_cancel(self, execution_id: str) -> None:
        """Ask for a cancel without awaiting the answer. A signal handler may call it while :meth:`run` is iterated."""
        self._send(Cancel(request_id=next(self._request_ids), execution_id=execution_id))

    def cancel(self, execution_id: str) -> None:
        self._call(Cancel(request_id=next(self._request_ids), execution_id=execution_id), Done)

    def plan(self, request: RunRequest) -> Planned:
        return self._call(Plan(request_id=next(self._request_ids), request=request), Planned)

    def status(self) -> StatusReport:
        return self._call(Status(request_id=next(self._request_ids)), StatusReport)

    def metrics(self) -> MetricsReport:
        return self._call(Metrics(request_id=next(self._request_ids)), MetricsReport)

    def energy(self, source: EnergySource | None = None) -> LiveEnergy:
        """What the machine draws now, averaged over a second at least; see :class:`protocol.requests.Energy`."""
        return self._call(Energy(request_id=next(self._request_ids), source=source), LiveEnergy)

    def list_models(self) -> ModelList:
        return self._call(ListModels(request_id=next(self._request_ids)), ModelList)

    def model_info(self, model: str) -> ModelDescription:
        return self._call(ModelInfo(request_id=next(self._request_ids), model=model), ModelDescription)

    def pull_model(self, model: str) -> Iterator[Progress | ModelDescription]:
        """Fetch a model: any number of ``Progress``, then its ``ModelDescription``.

        It ends when this client hangs up.
        """
        return self._follow(PullModel(request_id=next(self._request_ids), model=model), ModelDescription)

    def remove_model(self, model: str, *, dry_run: bool = False) -> ModelRemoved:
        """Remove a model's files, or say what would go."""
        request = RemoveModel(request_id=next(self._request_ids), model=model, dry_run=dry_run)
        return self._call(request, ModelRemoved)

    def quantize(
        self,
        model: str,
        recipe: str,
        output: Path,
        *,
        importance: Path | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> Iterator[Progress | Quantized]:
        """Write a model as a file in a recipe's types: any number of ``Progress``, then ``Quantized``.

        It ends when this client hangs up.
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

    def evaluate(self, request: EvaluationRequest) -> Iterator[Progress | Evaluated]:
        """Measure how well a model predicts a text: any number of ``Progress``, then ``Evaluated``."""
        return self._follow(Evaluate(request_id=next(self._request_ids), request=request), Evaluated)

    def list_cached(self) -> CachedWeightsList:
        return self._call(ListCached(request_id=next(self._request_ids)), CachedWeightsList)

    def remove_cached(self, names: Sequence[str] = ()) -> CachedWeightsRemoved:
        """Remove derived weights; of no names, all that no engine uses."""
        return self._call(RemoveCached(request_id=next(self._request_ids), names=tuple(names)), CachedWeightsRemoved)

    def verify_cached(self, names: Sequence[str] = ()) -> CachedWeightsVerified:
        """Check derived weights; of no names, all."""
        return self._call(VerifyCached(request_id=next(self._request_ids), names=tuple(names)), CachedWeightsVerified)

    def clear_prefix_cache(self) -> None:
        self._call(ClearPrefixCache(request_id=next(self._request_ids)), Done)

    def tokenize(self, model: str, text: str, *, add_special: bool = True, parse_special: bool = False) -> TokenIds:
        request = Tokenize(
            request_id=next(self._request_ids),
            model=model,
            text=text,
            add_special=add_special,
            parse_special=parse_special,
        )
        return self._call(request, TokenIds)

    def detokenize(self, model: str, token_ids: tuple[int, ...]) -> Text:
        return self._call(Detokenize(request_id=next(self._request_ids), model=model, token_ids=token_ids), Text)

    def shutdown(self, drain_s: float = 0.0) -> None:
        """Stop the engine; what runs has ``drain_s`` to finish. Returns when nothing runs any more."""
        self._call(Shutdown(request_id=next(self._request_ids), drain_s=drain_s), Done)

    def _follow(self, request: Request, kind: type[Reply]) -> Iterator[Progress | Reply]:
        request_id = self._ask(request)
        while isinstance(message := self._next_reply(request_id), Progress):
            yield message
        yield expect(message, kind)

    def _call(self, request: Request, kind: type[Reply]) -> Reply:
        return expect(self._next_reply(self._ask(request)), kind)

    def _ask(self, request: Request) -> int:
        self._arrived[request.request_id] = deque()
        self._send(request)
        return request.request_id

    def _next_reply(self, request_id: int) -> EngineMessage:
        """The next reply to a request. Raises the error of a ``Failed`` that is addressed to it, or to nobody."""
        while not self._arrived[request_id]:
            message = self._receive()
            addressee = getattr(message, "request_id", None)
            if addressee is None:
                raise unexpected(message)
            # A reply nobody awaits answers post_cancel, or a run whose iteration was given up.
            if addressee in self._arrived:
                self._arrived[addressee].append(message)
        message = self._arrived[request_id].popleft()
        if is_last(message):
            del self._arrived[request_id]
        if isinstance(message, Failed):
            raise error_of(message)
        return message

    def _send(self, message: Hello | Request) -> None:
        try:
            self._stream.sendall(encode_frame(encode(message)))
        except OSError as error:
            raise EngineUnreachable(f"the engine hung up: {error}") from error

    def _receive(self) -> EngineMessage:
        while not self._frames:
            try:
                data = self._stream.recv(_RECEIVE_BYTES)
            except OSError as error:
                raise EngineUnreachable(f"the engine does not answer: {error}") from error
            if not data:
                raise EngineUnreachable("the engine hung up")
            self._frames.extend(self._decoder.feed(data))
        return decode_engine(self._frames.popleft())
