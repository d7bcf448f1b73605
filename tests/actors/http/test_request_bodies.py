"""Bodies of requests: the room that they take, and those that get none."""

from __future__ import annotations

import pytest
import trio

from actors.http.limits import HttpLimits
from actors.limits import ServiceLimits
from tests.actors.engine_factory import Stream, make_request, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.http_stage import receive_until, stage


async def test_a_body_beyond_its_bound_is_refused_before_it_has_arrived() -> None:
    async with stage() as served:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: e\r\nContent-Length: 99999999\r\n\r\n"
        async with await served.connect() as connection:
            await connection.send_all(head + b" " * (16 * 2**20 + 1))
            assert (await connection.receive_some()).startswith(b"HTTP/1.1 413")


async def test_a_body_takes_room_before_it_arrives_and_gives_it_back() -> None:
    async with stage() as served:

        def waiting() -> int:
            return served.system.statistics().api_server.waiting_bytes

        for head, begun in ((b"Content-Length: 1000000", 1_000_000), (b"Transfer-Encoding: chunked", 200_000)):
            async with await served.connect() as connection:
                await connection.send_all(b"POST /v1/completions HTTP/1.1\r\nHost: e\r\n" + head + b"\r\n\r\n")
                await connection.send_all(b"30d40\r\n" + b" " * 200_000 + b"\r\n")
                await until(lambda begun=begun: waiting() >= begun)  # type: ignore[misc]
            await until(lambda: waiting() == 0)
        async with served.client() as client:
            answer = await client.post("/v1/completions", json={"model": "tiny", "prompt": "a" * 100_000})
        assert answer.status_code == 200
        assert waiting() == 0


async def test_a_body_without_room_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.http.gateway.HttpLimits", lambda: HttpLimits(body_s=0.2))
    backend = FakeBackend()
    async with (
        stage(backend, limits=ServiceLimits(max_waiting_bytes=300_000)) as served,
        trio.open_nursery() as nursery,
        served.system.client() as client,
    ):
        nursery.start_soon(Stream().follow, client, make_request("a" * 140_000))
        await until(lambda: bool(backend.live))
        async with await served.connect() as connection:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: e\r\nContent-Length: 150000\r\n\r\n"
            await connection.send_all(head)
            assert b"no room for a body of 150000 bytes" in await receive_until(connection, b"hold it")
        nursery.cancel_scope.cancel()
