"""Answers streamed over HTTP, most of whose texts the core writes past the event loop: they say what whole ones say."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.protocol.dialects.sse_reader import read_events
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

HELLO = [{"role": "user", "content": "Hello"}]
EXECUTION = {"stop": {"eos": False}, "stream": {"flush_ms": 0}}
"""Every token is a message of its own, as far as the client keeps up."""


@dataclass(frozen=True)
class Served:
    unix: Path
    port: int

    def client(self, kind: str) -> httpx.Client:
        if kind == "tcp":
            return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False)
        return httpx.Client(base_url="http://engine", transport=httpx.HTTPTransport(uds=str(self.unix)), timeout=120)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    options = {"n_layer": 4, "n_embd": 256, "n_head": 8, "n_head_kv": 4, "n_ff": 512, "context_length": 2048}
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        model = write_tiny_model(folder / "tiny.gguf", tensor_type="Q4_K", **options)
        flags = ("--http", "127.0.0.1:0", "--http-default-model", str(model))
        with serving(folder / "engine.sock", *flags, env={**os.environ, "ENGINE_CACHE_DIR": name}) as process:
            assert process.stderr is not None
            process.stderr.readline()
            port = int(process.stderr.readline().strip().rpartition(":")[2])
            yield Served(folder / "engine-http.sock", port)


def choices_of(chunks: list[Any], text_of: Callable[[Any], str]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk["choices"] if chunk != "[DONE]" else ():
            texts[choice["index"]] = texts.get(choice["index"], "") + text_of(choice)
    return texts


def completed(client: httpx.Client) -> tuple[dict[int, str], dict[int, str]]:
    asked = {"prompt": ["Hello", "the cat"], "n": 2, "max_tokens": 150, "seed": 3, "execution": EXECUTION}
    whole = client.post("/v1/completions", json=asked).json()
    told = read_events(client.post("/v1/completions", json={**asked, "stream": True}).content)
    return choices_of([whole], lambda one: one["text"]), choices_of(told, lambda one: one["text"])


def chatted(client: httpx.Client) -> tuple[dict[int, str], dict[int, str]]:
    asked = {"messages": HELLO, "n": 2, "max_tokens": 150, "seed": 3, "execution": EXECUTION}
    whole = client.post("/v1/chat/completions", json=asked).json()
    told = read_events(client.post("/v1/chat/completions", json={**asked, "stream": True}).content)
    return (
        choices_of([whole], lambda one: one["message"]["content"]),
        choices_of(told, lambda one: one["delta"].get("content") or ""),
    )


def messaged(client: httpx.Client) -> tuple[str, str]:
    asked = {"messages": HELLO, "max_tokens": 150, "execution": EXECUTION}
    whole = client.post("/v1/messages", json=asked).json()
    told = read_events(client.post("/v1/messages", json={**asked, "stream": True}).content)
    deltas = (one["delta"].get("text", "") for one in told if one["type"] == "content_block_delta")
    return whole["content"][0]["text"], "".join(deltas)


def generated(client: httpx.Client) -> tuple[str, str]:
    asked = {"prompt": "Hello", "options": {"num_predict": 150}, "execution": EXECUTION}
    whole = client.post("/api/generate", json={**asked, "stream": False}).json()
    lines = client.post("/api/generate", json=asked).content.splitlines()
    return whole["response"], "".join(json.loads(line)["response"] for line in lines)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("ask", [completed, chatted, messaged, generated])
def test_a_stream_says_what_the_whole_answer_says(
    served: Served, kind: str, ask: Callable[[httpx.Client], tuple[object, object]]
) -> None:
    with served.client(kind) as client:
        whole, streamed = ask(client)
    assert streamed == whole
    assert whole


def test_a_client_of_the_first_http_gets_no_chunks(served: Served) -> None:
    asked = {"prompt": "Hello", "max_tokens": 60, "stream": True, "execution": EXECUTION}
    body = json.dumps(asked).encode()
    head = f"POST /v1/completions HTTP/1.0\r\nHost: engine\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.unix))
        connection.settimeout(120)
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    told = read_events(answer.partition(b"\r\n\r\n")[2])
    with served.client("unix") as client:
        whole = client.post("/v1/completions", json={**asked, "stream": False}).json()
    assert choices_of(told, lambda one: one["text"]) == {0: whole["choices"][0]["text"]}
