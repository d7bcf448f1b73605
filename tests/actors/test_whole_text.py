"""No text is lost or doubled on its way: what a client is streamed is what the record holds, however it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.system import running
from protocol.answer_checks import RunMessage
from protocol.answers import Finished, Tokens
from protocol.client import Client
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.plan import Stream as StreamSettings
from protocol.record import ExecutionRecord
from protocol.requests import Cancel, Shutdown
from protocol.sampling import Sampling
from tests.actors.engine_factory import Stream, make_request, make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.real_engine import real_client
from tests.support.gguf_factory import write_tiny_model

FOREVER = 1_000_000


def streamed(messages: list[RunMessage], choice: int) -> tuple[str, tuple[int, ...]]:
    mine = [each for each in messages if isinstance(each, Tokens) and each.choice == choice]
    return "".join(each.text for each in mine), tuple(token for each in mine for token in each.token_ids)


def assert_whole(messages: list[RunMessage], record: ExecutionRecord) -> None:
    """Also: nothing comes after the end."""
    assert isinstance(messages[-1], Finished)
    choices = [(record.result, record.token_ids)] + [(each.result, each.token_ids) for each in record.other_choices]
    assert [streamed(messages, choice) for choice in range(len(choices))] == choices


# --- any order of what a backend says, when it is heard, and who is cancelled -----------------------------------------

EXECUTIONS, CHOICES = 2, 2
PIECES = st.text("añ🙂\n\x1b", max_size=3)
DEEDS = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"),
            st.integers(1, EXECUTIONS),
            st.integers(0, CHOICES - 1),
            st.lists(PIECES, max_size=3),
            st.sampled_from([None, None, None, "eos", "stop_string", "max_tokens", "context_full"]),
        ),
        st.tuples(st.just("cancel"), st.integers(1, EXECUTIONS)),
        st.just(("hear",)),
        st.just(("turn",)),
    ),
    max_size=25,
)


class Told:
    """Executions of several choices of a fake backend, each followed by a client."""

    def __init__(self, backend: FakeBackend, client: Client) -> None:
        self._backend = backend
        self._client = client
        self.streams = [Stream() for _ in range(EXECUTIONS)]
        self._open = {(number, choice) for number in range(1, EXECUTIONS + 1) for choice in range(CHOICES)}

    async def begin(self, nursery: trio.Nursery) -> None:
        request = make_request()
        request = request.model_copy(update={"execution": request.execution.model_copy(update={"n": CHOICES})})
        for number, stream in enumerate(self.streams, start=1):
            nursery.start_soon(stream.follow, self._client, request)
            await until(lambda number=number: number in self._backend.live)  # type: ignore[misc]

    async def do(self, name: str, *arguments: object) -> None:
        match name, *arguments:
            case "say", int(number), int(choice), list(texts), stop if (number, choice) in self._open:
                self._backend.emit(number, *texts, choice=choice, stop=stop)  # type: ignore[arg-type]
                if stop is not None:
                    self._open.discard((number, choice))
            case "cancel", int(number):
                self._backend.cancel(number)
                self._open -= {(number, choice) for choice in range(CHOICES)}
            case "hear", *_:
                drains = self._backend.drains
                await until(lambda: not self._backend.pending or self._backend.drains > drains)
            case _:
                await trio.lowlevel.checkpoint()

    async def end(self) -> None:
        for number in range(1, EXECUTIONS + 1):
            await self.do("cancel", number)
        for stream in self.streams:
            await stream.ended.wait()


@settings(max_examples=60, deadline=None)
@given(DEEDS)
def test_no_order_of_events_loses_or_doubles_text(deeds: list[tuple[object, ...]]) -> None:
    async def tell() -> list[Stream]:
        backend = FakeBackend()
        async with running(make_system(backend)) as system, system.client() as client, trio.open_nursery() as nursery:
            told = Told(backend, client)
            await told.begin(nursery)
            for name, *arguments in deeds:
                await told.do(str(name), *arguments)
            await told.end()
        return told.streams

    for stream in trio.run(tell):
        assert stream.error is None
        assert_whole(stream.messages, stream.record)


# --- the real engine, in every way to end -----------------------------------------------------------------------------

Act = Callable[[Client, Stream], Awaitable[None]]


async def leave_alone(client: Client, stream: Stream) -> None:
    """Read a stream that ends by itself."""


async def cancel(client: Client, stream: Stream) -> None:
    await until(lambda: len(stream.messages) > 3)
    await client.ask(Cancel(execution_id=stream.execution_id))


async def shut_down(client: Client, stream: Stream) -> None:
    await until(lambda: len(stream.messages) > 3)
    await client.ask(Shutdown())


@pytest.mark.parametrize("flush_ms", [0, 20])
@pytest.mark.parametrize(
    ("reason", "limits", "stop", "context_length", "act"),
    [
        ("max_tokens", Limits(max_tokens=9), Stop(eos=False), None, leave_alone),
        ("eos", Limits(max_tokens=FOREVER), Stop(), None, leave_alone),
        ("stop_string", Limits(max_tokens=FOREVER), Stop(eos=False, strings=("e",)), None, leave_alone),
        ("context_full", Limits(max_tokens=FOREVER), Stop(eos=False), 64, leave_alone),
        ("deadline", Limits(max_tokens=FOREVER, deadline_ms=400), Stop(eos=False), None, leave_alone),
        ("cancelled", Limits(max_tokens=FOREVER), Stop(eos=False, strings=("never said",)), None, cancel),
        ("shutdown", Limits(max_tokens=FOREVER), Stop(eos=False, strings=("never said",)), None, shut_down),
    ],
)
async def test_a_record_holds_what_was_streamed_whatever_ended_it(
    reason: str, limits: Limits, stop: Stop, context_length: int | None, act: Act, flush_ms: int, tmp_path: Path
) -> None:
    execution = ExecutionRequest(
        threads=1,
        limits=limits,
        stop=stop,
        context_length=context_length,
        sampling=Sampling(temperature=1.0, seed=5),
        stream=StreamSettings(flush_ms=flush_ms),
    )
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=65_536)
    request = RunRequest(model=str(model), prompt="Hello", execution=execution)
    stream = Stream()
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.follow, client, request)
        await act(client, stream)
        await stream.ended.wait()
        record = stream.record
        assert record.stop_reason == reason
        assert_whole(stream.messages, record)
