"""The asynchronous client against an engine of a few lines, under asyncio and trio alike."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
import trio

from protocol.answers import Done, EngineMessage, Failed, Progress, Text, TokenIds, Tokens, Welcome
from protocol.blocking import BlockingClient
from protocol.calls import AsyncCalls, BlockingCalls
from protocol.client import Client, connect
from protocol.codec import decode_client, encode
from protocol.errors import BadFrame, DownloadFailed, EngineUnreachable, Overloaded, UnknownModel
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import RunRequest
from protocol.requests import (
    PROTOCOL_VERSION,
    AskedMessage,
    Cancel,
    ClientMessage,
    Detokenize,
    Hello,
    PullModel,
    Run,
    Status,
    Tokenize,
)

REQUEST = RunRequest(model="tiny", prompt="x")
WELCOME = Welcome(engine_version="0", protocol_version=PROTOCOL_VERSION, capabilities=(), limits={})
Main = Callable[[Path], Awaitable[None]]


def run_asyncio(main: Main, path: Path) -> None:
    async def coroutine() -> None:
        await main(path)

    asyncio.run(coroutine())


def run_trio(main: Main, path: Path) -> None:
    trio.run(main, path)


class SmallEngine:
    """Answers as a script says, from a thread, to one client after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received: list[ClientMessage] = []
        self.first: EngineMessage = WELCOME
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
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
                replies = self._replies(message)
                if replies is None:
                    return
                for reply in replies:
                    stream.sendall(encode_frame(encode(reply)))

    def _replies(self, message: ClientMessage) -> list[EngineMessage] | None:
        """``None`` hangs up."""
        match message:
            case Hello():
                return [self.first]
            case Tokenize(request_id=request_id, model="missing"):
                return [Failed(request_id=request_id, code="unknown_model", message="no", params={"model": "missing"})]
            case Tokenize(request_id=request_id, model="odd"):
                return [Text(request_id=request_id, text="not ids")]
            case Tokenize(request_id=request_id, model="rude"):
                return [Failed(request_id=None, code="bad_frame", message="that was no frame")]
            case Tokenize(request_id=request_id, text=text):
                return [TokenIds(request_id=request_id, token_ids=tuple(map(ord, text)), pieces=tuple(text))]
            case Run(request_id=request_id):
                return [Tokens(request_id=request_id, execution_id="e", token_ids=(1,), text="hi")] * 3
            case PullModel(request_id=request_id):
                return [
                    Progress(request_id=request_id, stage="download", done=1, total=2),
                    Failed(request_id=request_id, code="download_failed", message="no network"),
                ]
            case Cancel(request_id=request_id):
                return [*self._late_answers(), Done(request_id=request_id)]
            case Status():
                return None
            case _:
                return []

    def _late_answers(self) -> list[EngineMessage]:
        """Answers that wait for a cancel, of whatever."""
        late = (each for each in self.received if isinstance(each, Detokenize) and each.model == "late")
        return [Text(request_id=request.request_id, text="at last") for request in late]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SmallEngine]:
    engine = SmallEngine(tmp_path / "engine.sock")
    yield engine
    engine.close()


both_loops = pytest.mark.parametrize("run", [run_asyncio, run_trio])


@both_loops
def test_replies_find_the_requests_that_await_them(engine: SmallEngine, run: Callable[[Main, Path], None]) -> None:
    async def main(path: Path) -> None:
        answers: dict[str, tuple[int, ...]] = {}

        async def ask(client: Client, text: str) -> None:
            answers[text] = (await client.ask(Tokenize(model="tiny", text=text))).token_ids

        async with connect(path) as client, anyio.create_task_group() as tasks:
            assert client.welcome == WELCOME
            for text in ("a", "bc", "def"):
                tasks.start_soon(ask, client, text)
        assert answers == {"a": (97,), "bc": (98, 99), "def": (100, 101, 102)}

    run(main, engine.path)


@pytest.mark.parametrize("calls", [AsyncCalls, BlockingCalls])
def test_every_message_has_a_method_of_its_own(calls: type[Any]) -> None:
    methods = {name: method.__doc__ for name, method in vars(calls).items() if not name.startswith("__")}
    names = {re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind.__doc__ for kind in get_args(AskedMessage)}
    assert names.pop("run") is not None  # takes the request itself
    assert methods == names


@both_loops
def test_a_messages_method_takes_its_fields(engine: SmallEngine, run: Callable[[Main, Path], None]) -> None:
    async def main(path: Path) -> None:
        async with connect(path) as client:
            assert (await client.tokenize(model="tiny", text="ab")).token_ids == (97, 98)
            messages = client.pull_model(model="tiny")
            assert isinstance(await anext(messages), Progress)
            with pytest.raises(DownloadFailed):
                await anext(messages)

    run(main, engine.path)
    with BlockingClient.connect(engine.path) as blocking:
        assert blocking.tokenize(model="tiny", text="ab").token_ids == (97, 98)
        assert isinstance(next(blocking.pull_model(model="tiny")), Progress)


@both_loops
def test_a_failure_is_the_typed_error_itself(engine: SmallEngine, run: Callable[[Main, Path], None]) -> None:
    async def main(path: Path) -> None:
        async with connect(path) as client:
            with pytest.raises(UnknownModel) as failed:
                await client.ask(Tokenize(model="missing", text="x"))
            assert failed.value.params == {"model": "missing"}
            with pytest.raises(BadFrame, match="answered with a Text"):
                await client.ask(Tokenize(model="odd", text="x"))
            await client.ask(Tokenize(model="tiny", text="it goes on"))
        with pytest.raises(UnknownModel):
            async with connect(path) as client:
                await client.ask(Tokenize(model="missing", text="x"))

    run(main, engine.path)


def test_a_client_that_asks_an_ended_connection_again_and_again_keeps_nothing(engine: SmallEngine) -> None:
    async def frames_of_failure(client: Client) -> int:
        with pytest.raises(EngineUnreachable) as failed:
            await client.ask(Tokenize(model="tiny", text="x"))
        return len(failed.traceback)

    async def main() -> None:
        async with connect(engine.path) as client:
            with pytest.raises(EngineUnreachable, match="hung up"):
                await client.ask(Status())
            assert len({await frames_of_failure(client) for _ in range(3)}) == 1

    trio.run(main)


@both_loops
def test_the_reason_for_a_closed_connection_reaches_everyone(
    engine: SmallEngine, run: Callable[[Main, Path], None]
) -> None:
    async def main(path: Path) -> None:
        async with connect(path) as client:
            with pytest.raises(EngineUnreachable, match="hung up"):
                await client.ask(Status())
            with pytest.raises(EngineUnreachable):
                await client.ask(Tokenize(model="tiny", text="x"))
        async with connect(path) as client:
            with pytest.raises(BadFrame, match="that was no frame"):
                await client.ask(Tokenize(model="rude", text="x"))

    run(main, engine.path)


@both_loops
def test_being_turned_away_is_an_error_of_connecting(engine: SmallEngine, run: Callable[[Main, Path], None]) -> None:
    engine.first = Failed(request_id=None, code="overloaded", message="full", params={"retry_after_ms": 5})

    async def main(path: Path) -> None:
        with pytest.raises(Overloaded, match="full"):
            async with connect(path):
                pass

    run(main, engine.path)


@both_loops
def test_a_run_left_early_does_not_disturb_the_next_request(
    engine: SmallEngine, run: Callable[[Main, Path], None]
) -> None:
    async def main(path: Path) -> None:
        async with connect(path) as client:
            async with aclosing(client.run(REQUEST)) as messages:
                async for message in messages:
                    assert message.type == "Tokens"
                    break
            assert (await client.ask(Tokenize(model="tiny", text="a"))).token_ids == (97,)

    run(main, engine.path)


@both_loops
@pytest.mark.parametrize("given_up", [1, 2, 5])
def test_a_reply_arrives_though_the_tasks_that_read_before_were_cancelled(
    engine: SmallEngine, run: Callable[[Main, Path], None], given_up: int
) -> None:
    """The first task that waits reads the connection for all; cancelled, it leaves that to the next."""

    async def main(path: Path) -> None:
        answers: list[Text] = []

        async def ask_for_nothing(client: Client) -> None:
            await client.ask(Detokenize(model="never", token_ids=(1,)))

        async def ask(client: Client) -> None:
            answers.append(await client.ask(Detokenize(model="late", token_ids=(1,))))

        async with connect(path) as client, anyio.create_task_group() as waiting:
            async with anyio.create_task_group() as impatient:
                for _ in range(given_up):
                    impatient.start_soon(ask_for_nothing, client)
                await anyio.wait_all_tasks_blocked()
                waiting.start_soon(ask, client)
                await anyio.wait_all_tasks_blocked()
                impatient.cancel_scope.cancel()
            await client.post(Cancel(execution_id="e"))
        assert [answer.text for answer in answers] == ["at last"]

    run(main, engine.path)


@both_loops
def test_nobody_there_is_engine_unreachable(tmp_path: Path, run: Callable[[Main, Path], None]) -> None:
    async def main(path: Path) -> None:
        with pytest.raises(EngineUnreachable, match="no engine answers"):
            async with connect(path):
                pass

    run(main, tmp_path / "nothing.sock")


def test_the_blocking_client_keeps_replies_for_their_turn(engine: SmallEngine) -> None:
    with BlockingClient.connect(engine.path) as client:
        messages = client.run(REQUEST)
        assert next(messages).type == "Tokens"
        client.post(Cancel(execution_id="e"))
        assert client.ask(Tokenize(model="tiny", text="a")).token_ids == (97,)
        assert [next(messages).type, next(messages).type] == ["Tokens", "Tokens"]
        client.ask(Cancel(execution_id="e"))
    assert [message for message in engine.received if isinstance(message, Cancel)]


def test_the_blocking_client_raises_what_the_engine_answers(engine: SmallEngine) -> None:
    with BlockingClient.connect(engine.path) as client:
        with pytest.raises(UnknownModel):
            client.ask(Tokenize(model="missing", text="x"))
        with pytest.raises(BadFrame):
            client.ask(Tokenize(model="odd", text="x"))
        pulling = client.follow(PullModel(model="tiny"))
        assert next(pulling).type == "Progress"
        with pytest.raises(Exception, match="no network"):
            next(pulling)
        with pytest.raises(EngineUnreachable, match="hung up"):
            client.ask(Status())


def test_the_blocking_client_says_when_it_is_turned_away_or_nobody_is_there(
    engine: SmallEngine, tmp_path: Path
) -> None:
    engine.first = Failed(request_id=None, code="overloaded", message="full")
    with pytest.raises(Overloaded):
        BlockingClient.connect(engine.path)
    with pytest.raises(EngineUnreachable) as unreachable:
        BlockingClient.connect(tmp_path / "nothing.sock")
    assert isinstance(unreachable.value.__cause__, FileNotFoundError)
