"""An engine in this process that serves HTTP, and clients of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from actors.http.options import HttpOptions, HttpRules, TcpAddress
from actors.limits import ServiceLimits
from actors.system import System, running
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy
from tests.actors.fake_records import FakeRecords

SECRET = b"a secret of many bytes"
RUN = {"model": "tiny", "prompt": "abc", "execution": {"limits": {"max_tokens": 8}}}
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}


def post(path: str, content: Any) -> bytes:
    """A request as it goes over a bare connection."""
    body = json.dumps(content).encode()
    return f"POST {path} HTTP/1.1\r\nHost: engine\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def receive_until(connection: trio.SocketStream, wanted: bytes) -> bytes:
    """What arrives, up to what is waited for and perhaps beyond."""
    received = b""
    with trio.fail_after(60):
        while wanted not in received:
            part = await connection.receive_some()
            assert part, f"{wanted!r} never came: {received!r}"
            received += part
    return received


@dataclass(frozen=True)
class Stage:
    system: System
    backend: FakeBackend
    unix: Path
    port: int | None

    def client(self) -> httpx.AsyncClient:
        """A client of the Unix socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.unix))
        return httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=60, trust_env=False)

    def tcp_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    async def connect(self) -> trio.SocketStream:
        """A bare connection to the Unix socket."""
        while True:
            stream = await trio.open_unix_socket(self.unix)
            try:
                stream.socket.getpeername()
            except OSError:  # Linux refuses where too many wait to be accepted, and trio takes that for connected
                await stream.aclose()
                await trio.sleep(0.01)
            else:
                return stream


@asynccontextmanager
async def stage(
    backend: FakeBackend | None = None,
    *,
    domain: FakeDomain | None = None,
    limits: ServiceLimits | None = None,
    rules: HttpRules | None = None,
    tcp: bool = False,
) -> AsyncIterator[Stage]:
    """The system with a fake backend, which says ``Hello`` unless the test brings one that says something else."""
    backend = backend or FakeBackend(answer=("Hel", "lo"))
    addresses = (TcpAddress("127.0.0.1", 0), TcpAddress("127.0.0.2", 0)) if tcp else ()
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        unix = Path(folder) / "engine-http.sock"
        system = System(
            *(backend, domain or FakeDomain(), FakeEnergy(), FakeRecords(), limits or ServiceLimits()),
            http=HttpOptions(unix, addresses, rules or HttpRules()),
        )
        port = int(system.http_places[1].rpartition(":")[2]) if tcp else None
        async with running(system):
            yield Stage(system, backend, unix, port)
