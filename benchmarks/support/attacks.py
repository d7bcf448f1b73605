"""What clients may send to an engine, by malice or by a fault of their own, that costs it more than it costs them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgpack

from protocol.framing import MAX_REQUEST_BYTES
from protocol.requests import PROTOCOL_VERSION
from tests.support.gguf_factory import write_tiny_model

_FULL = MAX_REQUEST_BYTES
_BODY = 8 * 2**20
_HUGE_BYTES = 2**33
_PATIENCE_S = 5.0
_REST_S = 0.2
_RECEIVE_BYTES = 2**20
_LONG_TEXTS = "{% set s = 'a' * 4000000 %}{% for i in range(9999) %}{% set t = s | upper %}{% endfor %}"
_LONG_LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@dataclass(frozen=True, slots=True)
class Attack:
    """One of them."""

    data: Callable[[Path], bytes]
    """Makes what is sent over each connection, for a folder with the files of :func:`write_files`."""
    socket: Literal["engine", "http"] = "engine"
    holds: bool = False
    """Connections stay open, and nothing is read from them."""
    together: int = 0
    """Connections that are open side by side: each gets the last byte of ``data`` when all have the others, and they
    end in the same moment. 0: one after the other."""


def write_files(folder: Path) -> None:
    """A model, two with hostile templates, one of 8 GiB, and what is no file of a model."""
    write_tiny_model(folder / "tiny.gguf", context_length=512)
    write_tiny_model(folder / "texts.gguf", chat_template=_LONG_TEXTS)
    write_tiny_model(folder / "loop.gguf", chat_template=_LONG_LOOP)
    shutil.copy(folder / "tiny.gguf", folder / "huge.gguf")
    os.truncate(folder / "huge.gguf", _HUGE_BYTES)
    os.mkfifo(folder / "pipe.gguf")


def _frame(content: object) -> bytes:
    payload: bytes = content if isinstance(content, bytes) else msgpack.packb(content)
    return len(payload).to_bytes(4, "big") + payload


_HELLO = _frame({"type": "Hello", "protocol_version": PROTOCOL_VERSION})


def _together(make: Callable[[], bytes], count: int, socket: Literal["engine", "http"] = "engine") -> Attack:
    return Attack(lambda _: make(), socket, together=count)


def _message(kind: str, model: str | None = None, **fields: object) -> Attack:
    def data(folder: Path) -> bytes:
        named = {} if model is None else {"model": _path(folder, model)}
        return _HELLO + _frame({"type": kind, "request_id": 1, **named, **fields})

    return Attack(data)


def _path(folder: Path, model: str) -> str:
    return str(folder / f"{model}.gguf")


def _bytes(make: Callable[[], bytes]) -> Attack:
    return Attack(lambda _: _HELLO + make())


def _run(model: str = "tiny", kind: str = "Run", **request: object) -> Attack:
    def data(folder: Path) -> bytes:
        asked = {"model": _path(folder, model), **request}
        return _HELLO + _frame({"type": kind, "request_id": 1, "request": asked})

    return Attack(data)


def _post(path: str, content: Mapping[str, object] | bytes, *, chunk: int = 0) -> Attack:
    """``chunk``: bytes of each piece in which the body is sent; 0: it is whole."""

    def data(folder: Path) -> bytes:
        named = content if isinstance(content, bytes) else {"model": _path(folder, "tiny"), **content}
        body = named if isinstance(named, bytes) else json.dumps(named, ensure_ascii=True).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        if not chunk:
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        pieces = (*(body[begin : begin + chunk] for begin in range(0, len(body), chunk)), b"")
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces
        )

    return Attack(data, "http")


def _get(path: str, times: int) -> Attack:
    one = f"GET {path} HTTP/1.1\r\nHost: engine\r\n".encode()
    return Attack(lambda _: (one + b"\r\n") * (times - 1) + one + b"Connection: close\r\n\r\n", "http")


def _quantize(importance: str) -> Attack:
    def data(folder: Path) -> bytes:
        fields = {"recipe": "q4_k_m", "output": str(folder / "made.gguf"), "importance": importance}
        return _HELLO + _frame({"type": "Quantize", "request_id": 1, "model": _path(folder, "tiny"), **fields})

    return Attack(data)


_SAID = [{"role": "user", "content": "a"}]
_MANY, _MANY_HTTP = 128, 500
_EMPTY_MESSAGES = _frame({"type": "Run", "request_id": 1, "request": {"model": "a", "messages": [{}] * 950}})
_HEAD = b"POST /tokenize HTTP/1.1\r\nHost: engine\r\n"


def _subscription(request_id: int) -> bytes:
    return _frame({"type": "Subscribe", "request_id": request_id, "wanted": {}, "after": 0})


def _said_often(folder: Path, request_id: int) -> bytes:
    asked = {"model": _path(folder, "loop"), "messages": _SAID * 1_000}
    return _frame({"type": "Run", "request_id": request_id, "request": asked})


ATTACKS: dict[str, Attack] = {
    "nested arrays": _bytes(lambda: _frame(b"\x91" * (_FULL - 1) + b"\x00")),
    "a thousand levels": _bytes(lambda: _frame(b"\x81\xa1a\x9f" + (b"\x91" * 1000 + b"\x00") * 15)),
    "nested maps": _bytes(lambda: _frame(b"\x81\xa1a" * (_FULL // 3 - 1) + b"\x00")),
    "empty strings": _bytes(lambda: _frame(b"\x81\xa1a\xdd" + (65_000).to_bytes(4, "big") + b"\xa0" * 65_000)),
    "numbers": _message("Detokenize", "tiny", token_ids=[1] * 2**18),
    "wrong numbers": _message("Detokenize", "tiny", token_ids=[None] * 2**18),
    "wrong strings": _message("Detokenize", "tiny", token_ids=["a"] * 65_000),
    "unknown fields": _bytes(
        lambda: _frame({"type": "Status", "request_id": 1} | {str(number): 1 for number in range(1000)})
    ),
    "messages without fields": _run(messages=[{}] * 20_000),
    "many messages": _run(messages=_SAID * 6_000),
    "a text": _run("none", prompt="a" * (_FULL - 200)),
    "a text beyond the context": _run(prompt="a" * (_FULL - 200)),
    "a text of symbols": _run("none", prompt="\N{GRINNING FACE}" * (_FULL // 4 - 100)),
    "a text that is none": _bytes(
        lambda: _frame(b"\x81\xa4type\xdb" + (_FULL - 100).to_bytes(4, "big") + b"\xff" * (_FULL - 100))
    ),
    "a text to be tokenized": _message("Tokenize", "tiny", text="the " * (_FULL // 5)),
    "small frames": _bytes(lambda: _frame({"type": "Status", "request_id": 1, "x": 1}) * 20_000),
    "empty frames": _bytes(lambda: b"\x00\x00\x00\x01\x80" * 100_000),
    "figures": _bytes(lambda: b"".join(_frame({"type": "Metrics", "request_id": 1 + n}) for n in range(64))),
    "subscriptions": Attack(lambda _: _HELLO + b"".join(map(_subscription, range(1, 64))), holds=True),
    "silent connections": Attack(lambda _: b"", holds=True),
    "connections that end at once": _together(lambda: _HELLO, _MANY),
    "messages at once": _together(lambda: _HELLO + _EMPTY_MESSAGES * 15, _MANY),
    "small frames at once": _together(lambda: _HELLO + b"\x00\x00\x00\x01\x80" * 3000, _MANY),
    "many messages that wait": Attack(
        lambda folder: _HELLO + b"".join(_said_often(folder, number) for number in range(1, 64)), holds=True
    ),
    "HTTP: a text": _post("/v1/completions", {"prompt": "a" * (_BODY - 500)}),
    "HTTP: a text of escapes": _post("/v1/completions", {"prompt": "\u00e9" * (_BODY // 6 - 100)}),
    "HTTP: many messages": _post("/v1/chat/completions", {"messages": _SAID * 6_000}),
    "HTTP: numbers": _post("/v1/completions", {"prompt": [1] * 250_000}),
    "HTTP: nested arrays": _post("/v1/completions", b"[" * (_BODY - 10)),
    "HTTP: a text to be tokenized": _post("/tokenize", {"content": "the " * 200_000}),
    "HTTP: small chunks": _post("/v1/completions", b" " * 400_000, chunk=1),
    "HTTP: requests at once": _get("/version", 2000),
    "HTTP: requests for nothing": _get("/nothing", 2000),
    "HTTP: many headers": Attack(lambda _: b"GET / HTTP/1.1\r\nHost: e\r\n" + b"a:\r\n" * 16_000 + b"\r\n", "http"),
    "HTTP: silent connections": Attack(lambda _: b"", "http", holds=True),
    "HTTP: heads that end at once": _together(lambda: b"GET / HT", _MANY_HTTP, "http"),
    "HTTP: many headers at once": _together(
        lambda: b"GET / HTTP/1.1\r\nHost: e\r\n" + b"a:\r\n" * 250 + b"\r\n", _MANY_HTTP, "http"
    ),
    "HTTP: chunks at once": _together(
        lambda: _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 9000, _MANY_HTTP, "http"
    ),
    "HTTP: bodies without room": _together(
        lambda: _HEAD + b"Content-Length: 8000000\r\n\r\n" + b" " * 70_000, _MANY_HTTP, "http"
    ),
    "a template of long texts": _run("texts", messages=_SAID),
    "a template without end": _run("loop", messages=_SAID),
    "a file without end": _quantize("/dev/zero"),
    "a pipe": _message("ModelInfo", "pipe"),
    "a file of 8 GiB": _run("huge", "Plan", prompt="a"),
}


def attack(name: str, engine: Path, http: Path, folder: Path, seconds: float) -> int:
    """Connect, send, read the answer, hang up, over and over until the time is over; how often."""
    chosen = ATTACKS[name]
    data, path = chosen.data(folder), str(engine if chosen.socket == "engine" else http)
    if chosen.together:
        return _attack_together(path, data, chosen.together, seconds)
    end = time.monotonic() + seconds
    held: list[socket.socket] = []
    times = 0
    while time.monotonic() < end:
        with suppress(OSError):  # refused, or hung up on, as it should be
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(_PATIENCE_S)
            client.connect(path)
            if chosen.holds:
                held.append(client)
                client.sendall(data)
                continue
            with client:
                client.sendall(data)
                _read(client, chosen.socket)
        times += 1
    return times


def _attack_together(path: str, data: bytes, count: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    times = 0
    while time.monotonic() < end:
        with ExitStack() as connected:
            clients = [connected.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]
            for client in clients:
                client.settimeout(_PATIENCE_S)
                _try(partial(client.connect, path))
                _try(partial(client.sendall, data[:-1]))
            time.sleep(_REST_S)
            for client in clients:
                _try(partial(client.sendall, data[-1:]))
            time.sleep(_REST_S)
        times += 1
    return times


def _try(act: Callable[[], object]) -> None:
    with suppress(OSError):  # refused, or hung up on, as it should be
        act()


def _read(client: socket.socket, kind: str) -> None:
    """To the end of the second frame, of which the first is the welcome; over HTTP until the engine hangs up."""
    received = bytearray()
    frames = position = 0
    while part := client.recv(_RECEIVE_BYTES):
        if kind == "http":
            continue
        received += part
        while len(received) - position >= 4:
            length = int.from_bytes(received[position : position + 4], "big")
            if len(received) - position - 4 < length:
                break
            position += 4 + length
            frames += 1
        if frames > 1:
            return
