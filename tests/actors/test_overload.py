"""Everything has a bound, and past it a typed answer; no other client notices."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import msgpack
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.limits import ServiceLimits
from actors.policies.requester import Requester
from actors.system import running
from protocol.answers import Accepted, Failed, StatusReport, TokenIds, Tokens
from protocol.client import connect, open_client
from protocol.codec import encode
from protocol.errors import Overloaded, PromptTooLong
from protocol.framing import encode_frame
from protocol.requests import Cancel, Status, Subscribe, Tokenize
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.raw_client import RawClient
from tests.actors.test_bad_input import run_message


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    backend = FakeBackend()
    async with running(make_system(backend, limits=ServiceLimits(max_queued=2))) as system, system.client() as client:
        async with trio.open_nursery() as nursery:
            streams = [Stream() for _ in range(3)]
            for stream in streams:
                nursery.start_soon(stream.follow, client, make_request(max_sequences=1))
                await until(lambda stream=stream: bool(stream.messages))  # type: ignore[misc]
            with pytest.raises(Overloaded, match="2 executions are queued") as refused:
                await record_of(client, make_request(max_sequences=1))
            assert refused.value.params["retry_after_ms"] > 0
            for sequence_id in (1, 2, 3):
                await until(lambda sequence_id=sequence_id: sequence_id in backend.live)  # type: ignore[misc]
                backend.emit(sequence_id, str(sequence_id), stop="eos")
        assert [stream.record.result for stream in streams] == ["1", "2", "3"]
        assert all(stream.record.metrics.queue_ms is not None for stream in streams)


async def test_no_more_executions_than_the_engine_can_hold() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(max_executions=1)
    system = make_system(backend, limits=limits)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(Stream().follow, client, make_request())
        await until(lambda: bool(backend.live))
        with pytest.raises(Overloaded, match="too many requests wait"):
            await record_of(client, make_request())
        backend.emit(1, stop="eos")


async def test_one_connection_has_a_share_of_requests_in_flight() -> None:
    async with running(make_system(FakeBackend(), limits=ServiceLimits(max_in_flight=2))) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send(run_message(1), run_message(2), {"type": "Status", "request_id": 3})
        messages = [await client.receive() for _ in range(3)]
        failed = next(message for message in messages if isinstance(message, Failed))
        assert (failed.request_id, failed.code) == (3, "overloaded")
        assert sum(isinstance(message, Accepted) for message in messages) == 2
        await client.aclose()


async def test_where_all_connections_are_busy_one_is_kept_for_the_operator() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(max_connections=1, operator_connections=1)
    async with running(make_system(backend, limits=limits)) as system, trio.open_nursery() as nursery:
        async with system.client() as busy:
            stream = Stream()
            nursery.start_soon(stream.follow, busy, make_request())
            await until(lambda: bool(backend.live))
            async with system.client() as operator:
                assert (await operator.ask(Status())).executions
                with pytest.raises(Overloaded, match="kept for status"):
                    await record_of(operator, make_request())
                await operator.ask(Cancel(execution_id=stream.execution_id))
            backend.emit(1, stop="cancelled")
            await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"


async def test_the_connection_that_was_idle_for_longest_makes_room(autojump_clock: MockClock) -> None:
    backend = FakeBackend(answer=("ok",))
    async with running(make_system(backend, limits=ServiceLimits(max_connections=3))) as system:
        silent, older, newer = (RawClient(system.connect()) for _ in range(3))
        await older.greet()
        await trio.sleep(1)
        await newer.greet()
        for gone in (silent, older):
            async with system.client() as client:
                assert (await record_of(client, make_request())).result == "ok"
                told = await gone.failure()
                assert (told.request_id, told.code) == (None, "overloaded")
                assert "makes room for another" in told.message
                await gone.wait_hung_up()
        await newer.send({"type": "Status", "request_id": 1})
        assert isinstance(await newer.receive(), StatusReport)
        await newer.aclose()


async def test_a_client_with_many_connections_takes_no_others_place() -> None:
    backend = FakeBackend(answer=("ok",))
    greedy, modest, third = (Requester(user="uid:1", client=f"pid:{number}") for number in (1, 2, 3))
    async with running(make_system(backend, limits=ServiceLimits(max_connections=3, operator_connections=0))) as system:
        rests = RawClient(system.connect(modest))
        await rests.greet()
        async with open_client(system.connect(greedy)) as first, open_client(system.connect(greedy)) as second:
            events = [client.follow(Subscribe()) for client in (first, second)]
            assert [(await anext(one)).type for one in events] == ["Subscribed"] * 2  # neither is idle
            with pytest.raises(Overloaded, match="3 clients are connected already"):
                async with open_client(system.connect(greedy)) as another:
                    await another.ask(Status())
            await events[0].aclose()
            await wait_all_tasks_blocked()
            async with open_client(system.connect(third)) as newcomer:
                assert (await record_of(newcomer, make_request())).result == "ok"  # in the place of one of two
            await events[1].aclose()
        await rests.send({"type": "Status", "request_id": 1})
        assert isinstance(await rests.receive(), StatusReport)
        await rests.aclose()


async def test_whoever_does_not_greet_is_closed(autojump_clock: MockClock) -> None:
    async with running(make_system(FakeBackend())) as system:
        silent, trickling = RawClient(system.connect()), RawClient(system.connect())
        await trickling.send_bytes(b"\x00\x00\x00")
        began = trio.current_time()
        for client in (silent, trickling):
            failed = await client.failure()
            assert (failed.code, failed.message) == ("unsupported_protocol", "no Hello came within 10 s")
            await client.wait_hung_up()
        assert trio.current_time() - began < 11


async def test_128_silent_connections_lock_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "private" / "engine.sock"
    backend = FakeBackend(answer=("ok",))
    async with running(make_system(backend, socket_path=path)), AsyncExitStack() as silent:
        for _ in range(2 * ServiceLimits().max_connections):
            await silent.enter_async_context(await trio.open_unix_socket(path))
        async with connect(path) as client:
            assert (await record_of(client, make_request())).result == "ok"


async def test_a_client_that_fills_the_queue_leaves_room_for_a_newcomer() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(max_queued=8)
    async with running(make_system(backend, limits=limits)) as system, trio.open_nursery() as nursery:
        greedy = Requester(user="uid:1", client="pid:1")
        streams = [Stream() for _ in range(10)]
        async with open_client(system.connect(greedy)) as first, open_client(system.connect(greedy)) as second:
            for index, stream in enumerate(streams):
                client = (first, second)[index % 2]
                nursery.start_soon(stream.follow, client, make_request(max_sequences=1))
                await until(lambda stream=stream: bool(stream.messages or stream.error))  # type: ignore[misc]
            refused = [stream.error for stream in streams if stream.error is not None]
            assert refused
            assert {type(error) for error in refused} == {Overloaded}
            assert {"this client has 5 in the engine" in str(error) for error in refused} == {True}
            async with system.client() as newcomer:
                late = Stream()
                nursery.start_soon(late.follow, newcomer, make_request(max_sequences=1))
                await until(lambda: bool(late.messages))
                backend.emit(1, stop="eos")
                # It came last and is next: nothing of its own is ahead of it.
                await until(lambda: 2 in backend.live)
                backend.emit(2, "late", stop="eos")
                await late.ended.wait()
                assert late.record.result == "late"
        nursery.cancel_scope.cancel()


def long_run(size: int) -> bytes:
    """The frame of a run, of about so many bytes."""
    return encode_frame(msgpack.packb(run_message(1) | {"request": {"model": "tiny", "prompt": "x" * size}}))


async def test_bytes_that_wait_are_bounded_and_shared() -> None:
    limits = ServiceLimits(max_waiting_bytes=130_000)
    async with running(make_system(FakeBackend(), limits=limits)) as system:
        clients = [RawClient(system.connect(Requester(user="uid:1", client=f"pid:{n}"))) for n in (1, 1, 1, 2)]
        told: list[object] = []
        for client in clients:
            await client.greet()
            await client.send_bytes(long_run(30_000))
            told.append(type(await client.receive()))
        assert told == [Accepted, Accepted, Failed, Accepted]
        assert 90_000 < system.statistics().api_server.waiting_bytes < 100_000
        for client in clients:
            await client.aclose()
        await until(lambda: system.statistics().api_server.waiting_bytes == 0)


async def test_a_frame_that_arrives_slowly_takes_its_room_beforehand() -> None:
    limits = ServiceLimits(max_waiting_bytes=200_000)
    whole = long_run(80_000)
    async with running(make_system(FakeBackend(answer=("ok",)), limits=limits)) as system:
        slow = [RawClient(system.connect(Requester(user=f"uid:{n}", client="pid:1"))) for n in range(3)]
        for client in slow:
            await client.greet()
            await client.send_bytes(whole[:10])
            await wait_all_tasks_blocked()
        assert system.statistics().api_server.waiting_bytes == 2 * (len(whole) - 4)
        async with system.client() as small:
            assert (await record_of(small, make_request())).result == "ok"
        await slow[0].aclose()
        await slow[2].send_bytes(whole[10:])
        assert isinstance(await slow[2].receive(), Accepted)
        for client in slow:
            await client.aclose()
        await until(lambda: system.statistics().api_server.waiting_bytes == 0)


async def test_a_frame_for_which_there_is_never_room_is_overloaded(autojump_clock: MockClock) -> None:
    async with running(make_system(FakeBackend(), limits=ServiceLimits(max_waiting_bytes=50_000))) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send_bytes(long_run(80_000)[:1000])
        failed = await client.failure()
        assert failed.code == "overloaded"
        assert "no room for a request of 80" in failed.message
        await client.wait_hung_up()


async def test_a_reader_that_stalls_loses_its_stream_and_nobody_else_does() -> None:
    backend = FakeBackend()
    limits = ServiceLimits(outbox_bytes=10_000)
    async with running(make_system(backend, limits=limits)) as system, system.client() as neighbour:
        stalled = RawClient(system.connect())
        await stalled.greet()
        await stalled.send(run_message(1))
        await until(lambda: 1 in backend.live)
        async with trio.open_nursery() as nursery:
            stream = Stream()
            nursery.start_soon(stream.follow, neighbour, make_request())
            await until(lambda: 2 in backend.live)
            while 1 in backend.live:
                backend.emit(1, "x" * 1000)
                await trio.sleep(0.001)
            assert system.statistics().api_server.outbox_bytes < 12_000
            backend.emit(2, "fine", stop="eos")
        assert stream.record.result == "fine"
        assert backend.cancelled == [1]
        # What was queued before is still there to be read, then the reason, and the connection goes on.
        message = await stalled.receive()
        while isinstance(message, Accepted | Tokens):
            message = await stalled.receive()
        assert isinstance(message, Failed)
        assert (message.request_id, message.code) == (1, "slow_consumer")
        await stalled.send({"type": "Status", "request_id": 2})
        assert isinstance(await stalled.receive(), StatusReport)
        await stalled.aclose()


async def test_a_client_that_never_reads_its_refusals_is_not_read_from() -> None:
    limits = ServiceLimits(outbox_bytes=2000)
    async with running(make_system(FakeBackend(), limits=limits)) as system:
        client = RawClient(system.connect())
        await client.greet()
        refused = encode_frame(encode_invalid())
        with trio.move_on_after(0.2) as patience:
            while True:
                await client.send_bytes(refused)
        assert patience.cancelled_caught
        assert system.statistics().api_server.outbox_bytes < 4000
        await client.aclose()


def encode_invalid() -> bytes:
    valid = Failed(request_id=1, code="", message="")
    return encode(valid).replace(b"Failed", b"Status")


async def test_a_hopeless_prompt_needs_no_worker() -> None:
    domain = FakeDomain(longest_prompt=1000)
    domain.may_prepare.clear()
    system = make_system(FakeBackend(), domain)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        for _ in range(2):  # as many as there are workers
            nursery.start_soon(Stream().follow, client, make_request())
        await until(lambda: len(domain.prepared) == 2)
        with pytest.raises(PromptTooLong):
            await record_of(client, make_request("a" * 10_000))
        domain.may_prepare.set()
        nursery.cancel_scope.cancel()
    assert len(domain.prepared) == 2


async def test_a_large_answer_is_the_one_that_was_made_and_keeps_its_place() -> None:
    text = "a text of many tokens " * 1000
    async with running(make_system(FakeBackend(answer=("a",)))) as system, system.client() as client:
        answers: list[TokenIds] = []

        async def ask() -> None:
            answers.append(await client.ask(Tokenize(model="tiny", text=text)))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
            assert (await record_of(client, make_request())).result == "a"
        assert system.statistics().api_server.outbox_bytes == 0
    assert [answer.token_ids for answer in answers] == [tuple(map(ord, text))] * 3
