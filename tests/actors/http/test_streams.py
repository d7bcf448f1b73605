"""Streams of every dialect when nothing is to be said for a while, and when they end badly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.http.limits import HttpLimits
from tests.actors.engine_factory import until
from tests.actors.fake_backend import FakeBackend
from tests.actors.http.http_stage import HELLO, RUN, post, receive_until, stage
from tests.protocol.dialects.sse_reader import read_events

STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {**HELLO, "stream": True},
    "/v1/completions": {"model": "tiny", "prompt": "abc", "stream": True},
    "/v1/responses": {"model": "tiny", "input": "abc", "stream": True},
    "/v1/messages": {**HELLO, "max_tokens": 8, "stream": True},
    "/completion": {"model": "tiny", "prompt": "abc", "stream": True},
    "/api/chat": HELLO,
    "/api/generate": {"model": "tiny", "prompt": "abc"},
    "/v1/weos/run": RUN,
}
"""A request of each dialect that is answered by a stream."""


@pytest.mark.parametrize("path", STREAMS)
async def test_an_execution_that_fails_on_its_way_ends_its_stream_with_an_error(path: str) -> None:
    accept = {"Accept": "text/event-stream"}
    async with (
        stage(FakeBackend()) as served,
        served.client() as client,
        client.stream("POST", path, json=STREAMS[path], headers=accept) as answer,
    ):
        await until(lambda: bool(served.backend.live))
        (sequence,) = served.backend.live
        served.backend.emit(sequence, "Hel", stop="error", error="out of luck")
        stream = b"".join([part async for part in answer.aiter_bytes()])
    assert answer.status_code == 200
    if path.startswith("/api/"):
        assert json.loads(stream.splitlines()[-1]) == {"error": "out of luck"}
    else:
        assert "out of luck" in json.dumps(read_events(stream)[-1])
    assert b"Hel" in stream
    assert b"[DONE]" not in stream


@pytest.mark.parametrize("path", [one for one in STREAMS if not one.startswith("/api/")])
async def test_a_silent_stream_is_kept_alive_whatever_its_dialect(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.http.gateway.HttpLimits", lambda: HttpLimits(patience_s=0.1))
    async with stage(FakeBackend()) as served, await served.connect() as connection:
        accept = b"Accept: text/event-stream\r\nHost:"
        await connection.send_all(post(path, STREAMS[path]).replace(b"Host:", accept))
        received = await receive_until(connection, b": waiting\n\n")
        assert received.startswith(b"HTTP/1.1 200")
        await until(lambda: bool(served.backend.live))
        (sequence,) = served.backend.live
        served.backend.emit(sequence, "Hel")
        await receive_until(connection, b": waiting\n\n")


_FUNCTION = {"name": "get_weather", "parameters": {"type": "object"}}
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"tools": [{"type": "function", "function": _FUNCTION}]},
    "/v1/responses": {"tools": [{"type": "function", **_FUNCTION}]},
    "/v1/messages": {"tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]},
}
"""Tools, as each dialect tells of them."""


@pytest.mark.parametrize("path", CALLS)
async def test_a_stream_is_kept_alive_while_a_call_is_not_certain_yet(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.http.gateway.HttpLimits", lambda: HttpLimits(patience_s=0.1))
    async with stage(FakeBackend()) as served, await served.connect() as connection:
        await connection.send_all(post(path, STREAMS[path] | CALLS[path]))
        await until(lambda: bool(served.backend.live))
        (sequence,) = served.backend.live
        for part in ("<tool_", "call>", '{"name": "get_'):
            served.backend.emit(sequence, part)
            assert b"call>" not in await receive_until(connection, b": waiting\n\n")
        served.backend.emit(sequence, 'weather", "arguments": {}}</tool_call>', stop="eos")
        await receive_until(connection, b"get_weather")
