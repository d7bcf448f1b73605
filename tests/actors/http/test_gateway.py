"""The gateway over real sockets: what it answers, and what becomes of those who leave or dawdle."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from actors.http.gateway import HttpGateway
from actors.http.http_connection import HttpConnection
from actors.http.limits import HttpLimits
from actors.limits import ServiceLimits
from actors.supervisor import RestartPauses
from protocol.dialects.openai.completions import MAX_PROMPTS
from protocol.requests import Status
from tests.actors.engine_factory import until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.http.http_stage import HELLO, post, receive_until, stage


async def test_the_unix_socket_is_its_owners_alone_and_goes_with_the_engine() -> None:
    async with stage() as served:
        assert served.unix.stat().st_mode & 0o777 == 0o600
        assert served.system.http_places == (f"unix:{served.unix}",)
        async with served.client() as client:
            assert (await client.get("/health")).json()["status"] == "ok"
    assert not served.unix.exists()


async def test_the_root_says_what_is_here() -> None:
    async with stage() as served, served.client() as client:
        told = (await client.get("/")).json()
    paths = {(one["method"], one["path"]) for one in told["routes"]}
    assert {("POST", "/v1/weos/run"), ("POST", "/v1/chat/completions"), ("GET", "/metrics")} <= paths


async def test_metrics_are_prometheus_text() -> None:
    async with stage() as served, served.client() as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE engine_steps_total counter" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("PUT", "/", 405)]
)
async def test_what_is_not_here_is_told_as_an_error(method: str, path: str, status: int) -> None:
    async with stage() as served, served.client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] in {"no_route", "wrong_method"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_ends_with_its_answer_where_the_client_asks_for_that(stream: bool) -> None:
    async with stage() as served, await served.connect() as connection:
        request = post("/v1/completions", {"model": "tiny", "prompt": "abc", "stream": stream})
        await connection.send_all(request.replace(b"Host:", b"Connection: close\r\nHost:"))
        with trio.fail_after(10):
            answer = b"".join([bytes(part) async for part in connection])
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"0\r\n\r\n") is stream


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_what_runs_for_it(stream: bool) -> None:
    async with stage(FakeBackend()) as served:
        connection = await served.connect()
        await connection.send_all(post("/v1/chat/completions", {**HELLO, "stream": stream}))
        await until(lambda: bool(served.backend.live))
        await connection.aclose()
        await until(lambda: bool(served.backend.cancelled))


async def test_a_client_that_leaves_while_its_model_loads_ends_the_load() -> None:
    backend = FakeBackend(answer=("Hello",))
    backend.may_load.clear()
    async with stage(backend) as served:
        connection = await served.connect()
        await connection.send_all(post("/v1/chat/completions", HELLO))
        await until(backend.loading.is_set)
        await connection.aclose()
        await until(lambda: backend.cancelled_loads == 1)


async def test_a_silent_stream_has_its_headers_at_once_and_comments_while_it_waits() -> None:
    async with stage(FakeBackend()) as served, await served.connect() as connection:
        await connection.send_all(post("/v1/completions", silent()))
        answer = await receive_until(connection, b": waiting")
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"x-execution-id: exec-" in head


def silent() -> dict[str, Any]:
    return {"model": "tiny", "prompt": "abc", "stream": True}


async def test_a_stream_whose_plan_takes_long_begins_without_it() -> None:
    domain = FakeDomain()
    domain.may_prepare.clear()
    async with (
        stage(domain=domain) as served,
        served.client() as client,
        client.stream("POST", "/v1/completions", json=silent()) as answer,
    ):
        assert "x-execution-id" not in answer.headers
        domain.may_prepare.set()
        lines = [line async for line in answer.aiter_lines()]
    assert lines[0].startswith(":")
    assert "data: [DONE]" in lines


async def test_slow_clients_lock_nobody_out() -> None:
    async with stage() as served:
        waiting = [await served.connect() for _ in range(600)]
        for connection in waiting[-200:]:
            await connection.send_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: e\r\nContent-Length: 99\r\n\r\n{")
        async with served.client() as client:
            answer = await client.post("/v1/chat/completions", json=HELLO)
        for connection in waiting:
            await connection.aclose()
    assert answer.status_code == 200


async def test_streams_that_nobody_reads_lock_nobody_out() -> None:
    async with stage(FakeBackend()) as served:
        unread = [await served.connect() for _ in range(ServiceLimits().max_connections + 1)]
        for connection in unread:
            await connection.send_all(post("/v1/completions", silent()))
        await until(lambda: served.system.statistics().api_server.in_flight == len(unread))
        async with served.client() as client:
            assert (await client.get("/health")).status_code == 200
        async with served.system.client() as own:
            with trio.fail_after(60):
                while len((await own.ask(Status())).executions) < len(unread):  # noqa: ASYNC110  another client's question
                    await trio.sleep(0.01)
        for connection in unread:
            await connection.aclose()


async def test_the_connection_that_has_stalled_longest_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.http.gateway.HttpLimits", lambda: HttpLimits(max_connections=2, patience_s=0.1))
    backend = FakeBackend()
    async with stage(backend) as served:
        stalled, read = await served.connect(), await served.connect()
        await stalled.send_all(post("/v1/completions", {**silent(), "max_tokens": 10_000}))
        await until(lambda: bool(backend.live))
        (sequence,) = backend.live
        await read.send_all(post("/v1/completions", silent()))
        await until(lambda: len(backend.live) == 2)
        async with served.client() as client:
            for _ in range(6):  # more than a socket takes
                await until(lambda: not backend.pending)
                backend.emit(sequence, "x" * 60_000)
            statuses = {503}
            with trio.fail_after(10):
                while statuses == {503}:
                    await trio.sleep(0.1)
                    statuses = {(await client.get("/version")).status_code}
            assert statuses == {200}
            await until(lambda: backend.cancelled == [sequence])
        await stalled.aclose()
        await read.aclose()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: e\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["no HTTP", "a header too long", "no Host"],
)
async def test_what_is_no_request_ends_its_own_connection_alone(request_bytes: bytes) -> None:
    async with stage() as served:
        async with await served.connect() as connection:
            await connection.send_all(request_bytes)
            assert (await connection.receive_some()).startswith(b"HTTP/1.1 4")
        async with served.client() as client:
            assert (await client.get("/health")).status_code == 200


async def test_what_fails_below_the_routes_ends_its_own_connection_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    serve, failures = HttpConnection.serve, [RuntimeError("out of luck")] * 5  # more than an actor is started again

    async def fail_often(connection: HttpConnection) -> None:
        if failures:
            raise failures.pop()
        await serve(connection)

    monkeypatch.setattr(HttpConnection, "serve", fail_often)
    async with stage() as served:
        while failures:
            async with await served.connect() as connection:
                assert await connection.receive_some() == b""
        async with served.client() as client:
            status = (await client.get("/v1/weos/status")).json()
    assert status["failed"] == {}
    assert {one["consequence"] for one in status["faults"]} == {"answered"}


async def test_what_is_being_answered_when_the_engine_stops_is_answered() -> None:
    answers: list[httpx.Response] = []
    async with stage(FakeBackend()) as served, served.client() as client:

        async def ask() -> None:
            answers.append(await client.post("/v1/completions", json={"model": "tiny", "prompt": "abc"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await until(lambda: bool(served.backend.live))
            await served.system.stop()
    assert answers[0].status_code in {200, 503}
    assert "shut" in answers[0].text or answers[0].json()["choices"][0]["finish_reason"] == "length"


async def test_a_fault_of_the_gateways_own_is_one_clients_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    async with stage() as served, served.client() as client:
        monkeypatch.setattr("protocol.dialects.openai.chat.from_outcome", fail)
        answer = await client.post("/v1/chat/completions", json=HELLO)
        status = (await client.get("/v1/weos/status")).json()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "out of luck" not in answer.text
    assert [(one["where"], one["consequence"]) for one in status["faults"]] == [("http gateway", "answered")]


async def test_a_gateway_that_fails_is_started_again_however_often(monkeypatch: pytest.MonkeyPatch) -> None:
    serve, failures = HttpGateway._serve, [RuntimeError("out of luck")] * 6

    async def fail_often(gateway: HttpGateway) -> None:
        if failures:
            raise failures.pop()
        await serve(gateway)

    monkeypatch.setattr(HttpGateway, "_serve", fail_often)
    monkeypatch.setattr("actors.system.RestartPauses", lambda: RestartPauses(first_s=0.01))
    async with stage() as served, served.client() as client:
        health = (await client.get("/health")).json()
        status = (await client.get("/v1/weos/status")).json()
    assert {(one["where"], one["consequence"]) for one in status["faults"]} == {("http gateway", "restarted")}
    assert status["failed"] == {}
    assert (health["status"], health["restarted"]) == ("ok", {"http gateway": 6})


async def test_a_client_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.http.gateway.HttpLimits", lambda: HttpLimits(write_s=0.2))
    backend = FakeBackend()
    async with stage(backend) as served:
        connection = await served.connect()
        await connection.send_all(post("/v1/completions", {**silent(), "max_tokens": 10_000}))
        await until(lambda: bool(backend.live))
        (sequence,) = backend.live
        while not backend.cancelled:
            if backend.live and not backend.pending:
                backend.emit(sequence, "x" * 60_000)
            await trio.sleep(0.005)
        await connection.aclose()


async def test_a_client_that_reads_nothing_does_not_keep_the_engine_from_stopping() -> None:
    backend = FakeBackend()
    async with stage(backend) as served:
        connection = await served.connect()
        await connection.send_all(post("/v1/completions", {**silent(), "max_tokens": 10_000}))
        await until(lambda: bool(backend.live))
        (sequence,) = backend.live
        for _ in range(20):
            await until(lambda: not backend.pending)
            backend.emit(sequence, "x" * 60_000)
        with trio.fail_after(15):  # half of what a write may take
            await served.system.stop()
        await connection.aclose()


async def test_as_many_prompts_as_a_request_may_have_are_answered() -> None:
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/completions", json={"model": "tiny", "prompt": ["a"] * MAX_PROMPTS})
    assert [choice["index"] for choice in answer.json()["choices"]] == list(range(MAX_PROMPTS))


async def test_a_schema_of_a_tool_may_nest_deeply() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(8):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/chat/completions", json={**HELLO, "tools": [tool]})
    assert answer.status_code == 200


async def test_a_request_too_deep_to_be_passed_on_is_its_clients_fault() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/chat/completions", json={**HELLO, "tools": [tool]})
        assert answer.status_code == 400
        assert "nests deeper than 64 levels" in answer.json()["error"]["message"]
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
