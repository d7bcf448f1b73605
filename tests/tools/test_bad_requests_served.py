"""A served engine, the real one, and requests of HTTP that are wrong in every field: none is a fault of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from actors.http.routes import ROUTES
from engine.identity.version import ENGINE_VERSION
from protocol.dialects.openapi import openapi
from protocol.dialects.weos import PREFIX
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

WRONG = (
    *("null", "true", "-1", "0.5", "1" + "0" * 400, "1e999", "NaN"),
    *('""', '"a"', '"\\ud800"', '"\\u0000"', "[]", '[{"a": [null]}]', "{}"),
    '{"a":' * 40 + "1" + "}" * 40,
)
"""Values, as JSON or almost, of which hardly any field takes more than a few."""
SAID = {"role": "user", "content": "a"}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": [1]}}}}
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [SAID],
        "max_tokens": 1,
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "/v1/completions": {"prompt": "a", "max_tokens": 1, "stream": True},
    "/v1/responses": {"input": [SAID], "max_output_tokens": 1, "tools": [{"type": "function", **FUNCTION}]},
    "/v1/embeddings": {"input": ["a"]},
    "/v1/messages": {"messages": [SAID], "max_tokens": 1, "tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    "/v1/messages/count_tokens": {"messages": [SAID]},
    "/api/chat": {"messages": [SAID], "options": {"num_predict": 1}},
    "/api/generate": {"prompt": "a", "options": {"num_predict": 1}, "stream": False},
    "/api/embed": {"input": ["a"]},
    "/api/show": {},
    "/tokenize": {"content": "a"},
    "/detokenize": {"tokens": [1]},
    PREFIX + "/run": {"prompt": "a", "execution": {"limits": {"max_tokens": 1}}},
    PREFIX + "/plan": {"messages": [SAID]},
    PREFIX + "/embed": {"texts": ["a"]},
}
"""A request of each kind that is answered, but for its model."""
LIMIT_BYTES = 2**17
"""What a process may grow by in a round of refusals; the longest body alone is larger."""


class Served:
    """An engine in a process of its own, and a connection to it."""

    def __init__(self, port: int, pid: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.process = psutil.Process(pid)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        self.connection.request(method, path, body)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that has told no fault at the end."""
    home = tmp_path_factory.mktemp("home")
    write_tiny_model(home / "tiny.gguf", context_length=4096)
    places = {"ENGINE_MODELS_DIR": str(home), "ENGINE_CACHE_DIR": str(home), "ENGINE_DATA_DIR": str(home / "data")}
    with TemporaryDirectory(prefix="engine-") as folder:
        flags = ("--http", "127.0.0.1:0", "--http-socket", "off")
        with serving(Path(folder) / "engine.sock", *flags, env=os.environ | places) as process:
            assert process.stderr is not None
            made = Served(int(process.stderr.readline().rpartition(":")[2]), process.pid)
            assert made.ask("POST", "/v1/completions", content("/v1/completions", (), ""))[0] == 200
            yield made
            assert json.loads(made.ask("GET", PREFIX + "/status")[1])["faults"] == []
            process.terminate()
            made.connection.close()
            assert process.stderr.read().splitlines() == ["stopping: what runs has 10 s to finish", "stopped"]


def content(path: str, place: tuple[str | int, ...], value: str) -> bytes:
    """The good request of a path with a value put in its place, or added there."""
    marker = "@the value@"
    changed: Any = json.loads(json.dumps({"model": "tiny", **GOOD[path]}))
    if not place:
        return json.dumps(changed).encode() if not value else value.encode()
    part = changed
    for name in place[:-1]:
        part = part.setdefault(name, {}) if isinstance(part, dict) else part[name]
    part[place[-1]] = marker
    return json.dumps(changed).replace(json.dumps(marker), value).encode()


def places(path: str) -> list[tuple[str | int, ...]]:
    """The whole, all there is in the good request, and every field that its dialect reads."""
    document = openapi((one.operation for one in ROUTES), ENGINE_VERSION)
    body = document["paths"][path]["post"].get("requestBody", {}).get("content", {}).get("application/json", {})
    read = [(name,) for name in fields(body.get("schema", {}), document["components"]["schemas"])]
    return list(dict.fromkeys([*parts({"model": "tiny", **GOOD[path]}), *read]))


def parts(content: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield at
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        yield from parts(value, (*at, name))


def fields(schema: dict[str, Any], named: dict[str, Any]) -> Iterator[str]:
    schema = named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    yield from schema.get("properties", {})
    for option in schema.get("anyOf", ()):
        yield from fields(option, named)


@pytest.mark.parametrize("path", GOOD)
def test_a_wrong_value_anywhere_is_the_clients_fault_or_of_no_account(served: Served, path: str) -> None:
    assert served.ask("POST", path, content(path, (), ""))[0] == 200
    refused = 0
    for place in places(path):
        for value in WRONG:
            status, answer = served.ask("POST", path, content(path, place, value))
            assert status in {200, 400, 404}, (place, value, answer)
            refused += status == 400
    assert refused
    assert served.ask("POST", path, content(path, (), ""))[0] == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "get"])
def test_a_method_that_a_route_does_not_take_is_refused(served: Served, method: str) -> None:
    for path in dict.fromkeys(one.path for one in ROUTES if "{" not in one.path):
        status, _ = served.ask(method, path)
        assert status in ({200, 404, 405, 501} if method == "HEAD" else {405}), path


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x1f\x8b\x08\x00", b"{", b"{} {}", b"{'a': 1}", b"\x00"),
        *(b'{"model": "tiny", "model": "other"}', b'{"a": "\xff"}', b'{"messages": [], "messages": 1}', b"[" * 10**5),
        *(b'"' + b"a" * 10**6 + b'"', b'{"prompt": [' + b"1," * 10**5 + b"1]}", b"9" * 10**5, b"// a\n{}"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_none_is_refused_everywhere(served: Served, body: bytes) -> None:
    for path in GOOD:
        status, answer = served.ask("POST", path, body)
        assert status in {400, 404}, (path, answer)


def test_memory_does_not_grow_with_what_is_refused(served: Served) -> None:
    bodies = [content("/v1/chat/completions", ("tools", 0), value) for value in WRONG]
    bodies.append(b'{"model": "tiny", "prompt": [' + b"1," * 10**5 + b"1]}")

    def grown() -> int:
        before = served.process.memory_info().rss
        for body in bodies:
            served.ask("POST", "/v1/completions", body)
            served.ask("POST", "/v1/chat/completions", body)
        return int(served.process.memory_info().rss - before)

    # What the allocator keeps comes and goes in single rounds; what is kept of requests comes in each.
    rounds = [grown() for _ in range(12)]
    assert median(rounds) < LIMIT_BYTES, rounds
