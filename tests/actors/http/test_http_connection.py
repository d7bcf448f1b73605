"""Bytes on a connection: what is a request, what follows it, and what is none. No client's bytes make a fault."""

from __future__ import annotations

import json
import socket

import pytest
import trio

from actors.client_stream import ClientStream
from actors.http.access import HttpPeer
from actors.http.http_connection import HttpConnection
from actors.http.limits import HttpLimits
from actors.http.options import HttpRules
from actors.loop_turns import LoopTurns
from tests.actors.engine_factory import until
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.http_stage import HELLO, SECRET, Stage, post, receive_until, stage

CHAT = "/v1/chat/completions"
GET = b"GET /version HTTP/1.1\r\nHost: e\r\n"
_UPGRADE = GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: "


async def answer_to(served: Stage, request: bytes) -> bytes:
    """What a connection answers before it is closed, by the engine or for want of more."""
    async with await served.connect() as connection:
        await connection.send_all(request)
        return await receive_until(connection, b"\r\n\r\n")


async def faults_of(served: Stage) -> list[object]:
    async with served.client() as client:
        status = (await client.get("/v1/weos/status")).json()
    return [*status["faults"], *status["failed"]]


@pytest.mark.parametrize(
    "upgrade",
    [
        b"h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        b"h2c\r\nHTTP2-Settings: !!!a\r\n\r\n",
        b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ],
    ids=["HTTP/2", "HTTP/2 with settings that are none", "WebSocket"],
)
async def test_an_upgrade_is_answered_in_http_1_1_and_the_connection_goes_on(upgrade: bytes) -> None:
    async with stage() as served:
        async with await served.connect() as connection:
            for request in (_UPGRADE + upgrade, GET + b"\r\n"):
                await connection.send_all(request)
                answer = await receive_until(connection, b"}")
                assert answer.startswith(b"HTTP/1.1 200")
        assert await faults_of(served) == []


async def answer_in_time_of(sent: bytes) -> bytes:
    """All that is answered to what is sent, and goes no further."""

    async def no_app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("no request is whole")

    ours, theirs = socket.socketpair()
    limits, turns = HttpLimits(header_s=0.01, linger_s=0.01), LoopTurns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        stream = ClientStream(theirs, turns)
        with ours, trio.fail_after(60):
            ours.send(sent)
            await HttpConnection(no_app, limits, HttpPeer("unix", is_owner=True), stream).serve()
            stream.close()
            answer = ours.recv(4096)
        nursery.cancel_scope.cancel()
    return answer


@pytest.mark.parametrize("sent", [b"G", GET, GET + b"A: b"])
async def test_a_header_that_does_not_come_to_its_end_is_told_so(sent: bytes) -> None:
    answer = await answer_in_time_of(sent)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"header_too_slow" in answer


async def test_a_connection_without_a_request_just_ends() -> None:
    assert await answer_in_time_of(b"") == b""


NOT_REQUESTS = {
    "no HTTP": (b"\x00\x01\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2 by prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505),
    "a header too long": (GET + b"A: " + b"a" * 100_000 + b"\r\n\r\n", 431),
    "a header too long that comes at once": (GET + b"A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    "10,000 headers": (GET + b"Aa: aa\r\n" * 10_000 + b"\r\n", 431),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + b"Host: f\r\n\r\n", 400),
    "a host for itself": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: e\r\n\r\n", 400),
    "a scheme of its own": (b"GET ftp://e/ HTTP/1.1\r\nHost: e\r\n\r\n", 400),
    "a negative length": (b"POST /tokenize HTTP/1.1\r\nHost: e\r\nContent-Length: -1\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "length and chunks": (
        b"POST /tokenize HTTP/1.1\r\nHost: e\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "another coding": (b"POST /tokenize HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "a chunk of no size": (
        b"POST /tokenize HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        400,
    ),
    "a body of gzip": (
        b"POST /tokenize HTTP/1.1\r\nHost: e\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        415,
    ),
    "a head of many lines": (GET + b"a:\r\n" * 300 + b"\r\n", 431),
    "many lines behind the last chunk": (
        b"POST /tokenize HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a:\r\n" * 300 + b"\r\n",
        400,
    ),
    "a body beyond its bound": (b"POST /tokenize HTTP/1.1\r\nHost: e\r\nContent-Length: 99999999999\r\n\r\n", 413),
}


@pytest.mark.parametrize(("request_bytes", "status"), NOT_REQUESTS.values(), ids=NOT_REQUESTS)
async def test_what_is_no_request_is_refused_in_http_1_1(request_bytes: bytes, status: int) -> None:
    async with stage() as served:
        async with await served.connect() as connection:
            await connection.send_all(request_bytes)
            head, body = (await receive_until(connection, b"}")).split(b"\r\n\r\n", 1)
        assert int(head.split()[1]) == status
        assert json.loads(body)["error"]["message"]
        assert await faults_of(served) == []


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET", GET, b"POST /tokenize HTTP/1.1\r\nHost: e\r\nContent-Length: 9\r\n\r\n{", post("/tokenize", {})[:-1]],
)
async def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_fault(request_bytes: bytes) -> None:
    async with stage() as served:
        async with await served.connect() as connection:
            await connection.send_all(request_bytes)
            await connection.send_eof()
            assert await connection.receive_some() == b""
        assert await faults_of(served) == []


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with stage() as served, await served.connect() as connection:
        await connection.send_all(post(CHAT, HELLO) + GET + b"\r\n" + b"HEAD /nowhere HTTP/1.1\r\nHost: e\r\n\r\n")
        answers = await receive_until(connection, b"HTTP/1.1 404")  # an id may hold 404 as well
    assert answers.index(b"chat.completion") < answers.index(b"engine_version")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ahead", [1, 10_000], ids=["one request ahead", "more than is kept"])
async def test_a_client_that_leaves_is_seen_behind_what_it_sent_ahead(ahead: int, stream: bool) -> None:
    async with stage(FakeBackend()) as served:
        connection = await served.connect()
        await connection.send_all(post(CHAT, {**HELLO, "stream": stream}))
        await until(lambda: bool(served.backend.live))
        with trio.move_on_after(0.1):  # more than is kept is more than the socket takes
            await connection.send_all((GET + b"\r\n") * ahead)
        await connection.aclose()
        await until(lambda: bool(served.backend.cancelled))


async def test_a_body_is_waited_for_where_the_client_waits_to_be_told_so() -> None:
    request = post("/tokenize", {"model": "tiny", "content": "abc"})
    head, body = request.replace(b"Host:", b"Expect: 100-continue\r\nHost:").split(b"\r\n\r\n")
    async with stage() as served, await served.connect() as connection:
        await connection.send_all(head + b"\r\n\r\n")
        assert await receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await connection.send_all(body)
        assert (await receive_until(connection, b"}")).startswith(b"HTTP/1.1 200")


async def test_a_body_that_is_not_wanted_is_not_asked_for() -> None:
    request = b"POST /nowhere HTTP/1.1\r\nHost: e\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    async with stage() as served:
        answer = await answer_to(served, request)
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"connection: close" in answer.lower()


async def test_a_body_may_come_in_chunks_with_more_behind_them() -> None:
    chunks = b'8\r\n{"model"\r\n19\r\n: "tiny", "content": "a"}\r\n0\r\nX-Sum: 1\r\n\r\n'
    head = b"POST /tokenize HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with stage() as served:
        assert (await answer_to(served, head + chunks)).startswith(b"HTTP/1.1 200")


async def test_a_refused_request_with_a_body_leaves_its_connection_to_the_next() -> None:
    async with stage() as served, await served.connect() as connection:
        await connection.send_all(post("/nowhere", {"a": 1}))
        assert (await receive_until(connection, b"}")).startswith(b"HTTP/1.1 404")
        await connection.send_all(GET + b"\r\n")
        assert (await receive_until(connection, b"}")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", [b"/version", b"/v1/weos/events"], ids=["a text", "a stream that never ends"])
async def test_a_head_has_no_body(path: bytes) -> None:
    async with stage() as served, await served.connect() as connection:
        await connection.send_all(b"HEAD " + path + b" HTTP/1.1\r\nHost: e\r\n\r\n" + GET + b"\r\n")
        head, _, rest = (await receive_until(connection, b"}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://engine/version", 200),
        (b"HTTP://engine/version?a=b", 200),
        (b"http://engine", 200),
        (b"http://[/version", 400),
        (b"/version#fragment", 404),
        (b"//version", 404),
        (b"/v%65rsion", 200),
        (b"/v1/models/%00%ff%2e%2e%2f", 404),
        (b"*", 404),
    ],
)
async def test_a_target_may_have_any_form(target: bytes, status: int) -> None:
    async with stage() as served:
        answer = await answer_to(served, GET.replace(b"/version", target) + b"\r\n")
        assert answer.split()[1] == str(status).encode()
        assert await faults_of(served) == []


async def test_the_host_of_a_whole_url_counts() -> None:
    async with stage(tcp=True) as served:
        assert served.port is not None
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as connection:
            await connection.send_all(b"GET http://example.org/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"foreign_host" in await receive_until(connection, b"}")


@pytest.mark.parametrize("target", [b"http://localhost:1@evil/version", b"http://localhost@/", b"http:///version"])
async def test_a_whole_url_names_a_host_and_nobody(target: bytes) -> None:
    async with stage(tcp=True) as served:
        assert served.port is not None
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as connection:
            await connection.send_all(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"bad_target" in await receive_until(connection, b"}")


@pytest.mark.parametrize("host", [b"[", b"]:80", b"a b", b"\xff", b"127.0.0.1:99999", b""])
async def test_a_host_that_is_none_is_refused_or_of_no_account(host: bytes) -> None:
    async with stage(tcp=True) as served:
        request = b"GET /nowhere HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        assert (await answer_to(served, request)).split()[1] in {b"400", b"404"}
        assert served.port is not None
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as connection:
            await connection.send_all(request)
            assert (await receive_until(connection, b"}")).split()[1] in {b"400", b"403", b"404"}
        assert await faults_of(served) == []


async def test_who_is_refused_may_send_its_body_and_ask_again() -> None:
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served:
        assert served.port is not None
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as connection:
            await connection.send_all(post(CHAT, HELLO))
            assert (await receive_until(connection, b"}}")).startswith(b"HTTP/1.1 401")
            known = b"Authorization: Bearer " + SECRET + b"\r\nHost:"
            await connection.send_all(post(CHAT, HELLO).replace(b"Host:", known))
            assert (await receive_until(connection, b"usage")).startswith(b"HTTP/1.1 200")
