"""The bytes of every stream, cut at each byte, through the parsers that clients have: a network cuts where it likes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest

from tests.clients.http_engine import TINY, HttpEngine
from tests.protocol.dialects.sse_reader import SseReader

anthropic_streaming = pytest.importorskip("anthropic._streaming", reason="make test-clients runs it")
openai_streaming = pytest.importorskip("openai._streaming", reason="make test-clients runs it")

ODD = 'é 漢 😀 "\\ \r\n \t \x7f \x85 \u2028 \u2029 end'
"""Characters of one to four bytes, what JSON escapes, and what some parsers take for the end of a line."""
SAYS_ODD = {"kind": "json_schema", "source": json.dumps({"enum": [ODD]})}
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "now", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}
BASE: dict[str, Any] = {"model": TINY, "stream": True, "max_tokens": 99}
CALLING: dict[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}
SAYING: dict[str, Any] = {"execution": {"grammar": SAYS_ODD}}

EVENT_STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HELLO, "n": 2, "logprobs": True, **SAYING}),
    "chat with a call": (
        "/v1/chat/completions",
        {"messages": HELLO, "tools": [{"type": "function", "function": TOOL}], **CALLING},
    ),
    "completions": ("/v1/completions", {"prompt": ["a", "b"], "logprobs": 1, **SAYING}),
    "responses": ("/v1/responses", {"input": "Hello", **SAYING}),
    "responses with a call": ("/v1/responses", {"input": "Hello", "tools": [{"type": "function", **TOOL}], **CALLING}),
    "messages": ("/v1/messages", {"messages": HELLO, **SAYING}),
}
LINE_STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/api/chat", {"messages": HELLO, **SAYING}),
    "generate": ("/api/generate", {"prompt": "Hello", **SAYING}),
}
Parse = Callable[[Iterable[bytes]], list[str]]


def streamed(engine: HttpEngine, path: str, content: dict[str, Any]) -> bytes:
    with httpx.Client(base_url=engine.url, timeout=60) as client:
        answer = client.post(path, json={**BASE, **content})
    assert answer.status_code == 200
    return answer.content


def by_openai(pieces: Iterable[bytes]) -> list[str]:
    return [event.data for event in openai_streaming.SSEDecoder().iter_bytes(iter(pieces)) if event.data]


def by_anthropic(pieces: Iterable[bytes]) -> list[str]:
    return [event.data for event in anthropic_streaming.SSEDecoder().iter_bytes(iter(pieces)) if event.data]


def strictly(pieces: Iterable[bytes]) -> list[str]:
    reader = SseReader()
    for piece in pieces:
        reader.feed(piece)
    assert reader.ended
    return reader.events


def as_lines(pieces: Iterable[bytes]) -> list[str]:
    """As Ollama's client reads: by the lines of httpx."""

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces

    return [line for line in httpx.Response(200, stream=Body()).iter_lines() if line]


def assert_the_same_in_pieces(data: bytes, parse: Parse) -> list[str]:
    """What is parsed, which is the same wherever the bytes are cut."""
    whole = parse([data])
    assert parse(data[at : at + 1] for at in range(len(data))) == whole
    # A stream repeats itself: its begin, a part of its middle and its end have every kind of event.
    for at in {*range(min(len(data), 700)), *range(max(0, len(data) - 1500), len(data))}:
        assert parse([data[:at], data[at:]]) == whole, f"cut at byte {at}"
    return whole


@pytest.mark.parametrize("parse", [by_openai, by_anthropic, strictly])
@pytest.mark.parametrize("name", EVENT_STREAMS)
def test_events_are_the_same_wherever_they_are_cut(engine: HttpEngine, name: str, parse: Parse) -> None:
    data = streamed(engine, *EVENT_STREAMS[name])
    events = assert_the_same_in_pieces(data, parse)
    assert all(event == "[DONE]" or isinstance(json.loads(event), dict) for event in events)
    commented = data.replace(b"\n\n", b"\n\n: waiting\n\n")
    assert parse([commented]) == events


@pytest.mark.parametrize("name", LINE_STREAMS)
def test_lines_are_the_same_wherever_they_are_cut(engine: HttpEngine, name: str) -> None:
    lines = [json.loads(line) for line in assert_the_same_in_pieces(streamed(engine, *LINE_STREAMS[name]), as_lines)]
    text = "".join(line.get("response") or line.get("message", {}).get("content", "") for line in lines)
    assert json.loads(text) == ODD


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_the_engines_own_streams_are_the_same_wherever_they_are_cut(engine: HttpEngine, accept: str) -> None:
    asked = {"model": TINY, "prompt": "a", **SAYING}
    with httpx.Client(base_url=engine.url, timeout=60) as client:
        data = client.post("/v1/weos/run", json=asked, headers={"accept": accept}).content
    parse = strictly if accept == "text/event-stream" else as_lines
    messages = [json.loads(one) for one in assert_the_same_in_pieces(data, parse)]
    text = "".join(message["text"] for message in messages if message["type"] == "Tokens")
    assert json.loads(text) == ODD
