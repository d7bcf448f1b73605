"""Whole systems in this process, small and fast enough to make for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.limits import Limits
from actors.ports import Energy
from actors.system import System, running
from protocol.client import Client
from protocol.messages import Accepted, Finished, Progress, Tokens
from protocol.plan import ExecutionRequest, RunRequest
from protocol.plan import Limits as RunLimits
from protocol.record import ExecutionRecord
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain, FakeEnergy


def make_system(
    backend: FakeBackend,
    domain: FakeDomain | None = None,
    energy: Energy | None = None,
    limits: Limits | None = None,
    socket_path: Path | None = None,
) -> System:
    return System(backend, domain or FakeDomain(), energy or FakeEnergy(), limits or Limits(), socket_path)


@asynccontextmanager
async def make_client(backend: FakeBackend, domain: FakeDomain | None = None) -> AsyncIterator[Client]:
    """A client of a system of its own."""
    async with running(make_system(backend, domain)) as system, system.client() as client:
        yield client


def make_request(prompt: str = "abc", model: str = "tiny", max_tokens: int = 8, max_sequences: int = 16) -> RunRequest:
    execution = ExecutionRequest(max_sequences=max_sequences, limits=RunLimits(max_tokens=max_tokens))
    return RunRequest(model=model, prompt=prompt, execution=execution)


async def collect(client: Client, request: RunRequest) -> list[Accepted | Progress | Tokens | Finished]:
    return [message async for message in client.run(request)]


async def record_of(client: Client, request: RunRequest) -> ExecutionRecord:
    messages = await collect(client, request)
    last = messages[-1]
    assert isinstance(last, Finished)
    return last.record
