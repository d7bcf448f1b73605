"""Whatever a client sends, it gets a typed answer, and the engine serves the next one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.system import System, running
from protocol.answers import Accepted, Finished, StatusReport
from protocol.framing import MAX_FRAME_BYTES, encode_frame
from tests.actors.engine_factory import make_request, make_system, record_of
from tests.actors.fake_backend import FakeBackend
from tests.actors.raw_client import HELLO, RawClient


def run_message(request_id: int = 7, **execution: object) -> dict[str, Any]:
    request = {"model": "tiny", "prompt": "abc", "execution": execution}
    return {"type": "Run", "request_id": request_id, "request": request}


@pytest.fixture
async def system() -> AsyncIterator[System]:
    """A system that still serves when the test is over."""
    async with running(make_system(FakeBackend(answer=("ok",)))) as system:
        yield system
        async with system.client() as client:
            assert (await record_of(client, make_request())).result == "ok"


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        (run_message(quantisation="native"), "invalid_request", "request.execution.quantisation"),
        (run_message(limits={"max_tokens": -5}), "invalid_request", "greater than or equal to 1"),
        (run_message(limits={"max_tokens": "many"}), "invalid_request", "valid integer"),
        (run_message(limits=[]), "invalid_request", "request.execution.limits"),
        (run_message(backend="cuda"), "unsupported_backend", "cuda"),
        ({"type": "Run", "request_id": 7, "request": {"model": "none", "prompt": ""}}, "unknown_model", "none"),
        ({"type": "Run", "request_id": 7, "request": {"model": "tiny"}}, "invalid_request", "exactly one"),
        ({"type": "Run", "request_id": 7}, "invalid_request", "request: Field required"),
        ({"type": "Plan", "request_id": 7, "request": {"model": "none", "prompt": ""}}, "unknown_model", "none"),
        ({"type": "ModelInfo", "request_id": 7, "model": "none"}, "unknown_model", "none"),
        ({"type": "PullModel", "request_id": 7, "model": "none"}, "unknown_model", "none"),
        ({"type": "RemoveModel", "request_id": 7, "model": "none"}, "unknown_model", "none"),
        ({"type": "Tokenize", "request_id": 7, "model": "none", "text": ""}, "unknown_model", "none"),
        ({"type": "Detokenize", "request_id": 7, "model": "none", "token_ids": []}, "unknown_model", "none"),
        ({"type": "Detokenize", "request_id": 7, "model": "tiny", "token_ids": "1"}, "invalid_request", "tuple"),
        ({"type": "Cancel", "request_id": 7, "execution_id": "exec-9"}, "unknown_execution", "exec-9"),
        ({"type": "Tomorrow", "request_id": 7, "field": [1]}, "unknown_message", "'Tomorrow'"),
        ({"type": "Tokens", "request_id": 7}, "unknown_message", "'Tokens'"),
        ({"request_id": 7}, "unknown_message", "None"),
    ],
)
async def test_a_refused_request_is_answered_and_the_connection_lives_on(
    system: System, message: dict[str, Any], code: str, told: str
) -> None:
    client = RawClient(system.connect())
    await client.greet()
    await client.send(message)
    failed = await client.failure()
    assert (failed.request_id, failed.code) == (7, code)
    assert told in failed.message
    await client.send({"type": "Status", "request_id": 7})
    assert isinstance(await client.receive(), StatusReport)
    await client.aclose()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(b"garbage"), "bad_frame"),
        (encode_frame(b"\xc1" * 100), "bad_frame"),
        (encode_frame(b""), "bad_frame"),
        (encode_frame(b"\x80"), "bad_frame"),
        (encode_frame(b"\x81\xa4type\xa6Tokens"), "bad_frame"),
        ((MAX_FRAME_BYTES + 1).to_bytes(4, "big"), "frame_too_large"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame_too_large"),
        (encode_frame(b"\x81\xa4type\xa6Status"), "bad_frame"),
    ],
)
async def test_a_broken_protocol_is_told_and_ends_the_connection(system: System, data: bytes, code: str) -> None:
    client = RawClient(system.connect())
    await client.greet()
    await client.send_bytes(data)
    failed = await client.failure()
    assert (failed.request_id, failed.code) == (None, code)
    await client.wait_hung_up()


@pytest.mark.parametrize(
    "first",
    [
        {"type": "Status", "request_id": 1},
        {"type": "Hello", "protocol_version": 99},
        {"type": "Hello"},
        {"type": "Run", "request_id": 1},
    ],
)
async def test_nothing_is_answered_before_a_proper_hello(system: System, first: dict[str, Any]) -> None:
    client = RawClient(system.connect())
    await client.send(first)
    failed = await client.failure()
    assert (failed.request_id, failed.code) == (None, "unsupported_protocol")
    await client.wait_hung_up()


async def test_hello_is_said_once(system: System) -> None:
    client = RawClient(system.connect())
    await client.greet()
    await client.send(HELLO)
    assert (await client.failure()).code == "unsupported_protocol"
    await client.wait_hung_up()


async def test_half_a_frame_then_silence_ends_the_connection(autojump_clock: MockClock) -> None:
    backend = FakeBackend()
    async with running(make_system(backend)) as system:
        client = RawClient(system.connect())
        await client.greet()
        began = trio.current_time()
        await client.send_bytes(b"\x00\x00\x00\x10half")
        failed = await client.failure()
        assert failed.code == "bad_frame"
        assert "not completed within 30 s" in failed.message
        assert trio.current_time() - began == pytest.approx(30)
        await client.wait_hung_up()


async def test_a_frame_that_trickles_in_has_no_longer(autojump_clock: MockClock) -> None:
    async with running(make_system(FakeBackend())) as system:
        client = RawClient(system.connect())
        await client.greet()
        for piece in (b"\x00\x00\x00\x10", b"a", b"b", b"c"):
            await client.send_bytes(piece)
            await trio.sleep(8)
        assert (await client.failure()).code == "bad_frame"


async def test_an_idle_connection_may_stay(autojump_clock: MockClock) -> None:
    async with running(make_system(FakeBackend())) as system:
        client = RawClient(system.connect())
        await client.greet()
        await trio.sleep(80_000)
        await client.send({"type": "Status", "request_id": 1})
        assert isinstance(await client.receive(), StatusReport)
        await client.aclose()


async def test_a_request_id_in_flight_may_not_be_used_again() -> None:
    async with running(make_system(FakeBackend())) as system:
        client = RawClient(system.connect())
        await client.greet()
        await client.send(run_message(request_id=3))
        assert isinstance(await client.receive(), Accepted)
        await client.send(run_message(request_id=3))
        assert (await client.failure()).code == "bad_frame"
        await client.wait_hung_up()


async def test_many_requests_in_one_piece_are_all_answered(system: System) -> None:
    client = RawClient(system.connect())
    await client.greet()
    await client.send(*(run_message(request_id=n) for n in range(20)))
    finished: set[int] = set()
    while len(finished) < 20:
        message = await client.receive()
        if isinstance(message, Finished):
            finished.add(message.request_id)
    await client.aclose()


@pytest.mark.parametrize("seed", range(20))
async def test_noise_never_takes_the_engine_down(system: System, seed: int) -> None:
    noise = random.Random(seed)
    client = RawClient(system.connect())
    await client.greet()
    await client.send_bytes(encode_frame(noise.randbytes(noise.randrange(1, 200))))
    failed = await client.failure()
    assert failed.request_id is None
    await client.wait_hung_up()
