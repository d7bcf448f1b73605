"""Whole systems in this process, small and fast enough to make for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from actors.limits import ServiceLimits
from actors.ports import EnergySources, RecordWriter
from actors.system import System, no_other_backend, running
from engine.backend import Backend
from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Tokens
from protocol.client import Client
from protocol.errors import EngineError
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy
from tests.actors.fake_records import FakeRecords
from tests.actors.message_form import CODEC


def make_system(
    backend: FakeBackend,
    domain: FakeDomain | None = None,
    energy: EnergySources | None = None,
    limits: ServiceLimits | None = None,
    records: RecordWriter | None = None,
    socket_path: Path | None = None,
    replace_backend: Callable[[], Backend] = no_other_backend,
) -> System:
    return System(
        backend,
        domain or FakeDomain(),
        energy or FakeEnergy(),
        records or FakeRecords(),
        limits or ServiceLimits(),
        socket_path,
        replace_backend=replace_backend,
        codec=CODEC,
    )


@asynccontextmanager
async def make_client(backend: FakeBackend, domain: FakeDomain | None = None) -> AsyncIterator[Client]:
    """A client of a system of its own."""
    async with running(make_system(backend, domain)) as system, system.client() as client:
        yield client


def make_request(
    prompt: str = "abc",
    model: str = "tiny",
    max_tokens: int = 8,
    max_sequences: int = 16,
    policy: str = "default",
    priority: int = 0,
    **limits: Any,
) -> RunRequest:
    """``limits``: further ones than ``max_tokens``."""
    execution = ExecutionRequest(
        max_sequences=max_sequences,
        limits=Limits(max_tokens=max_tokens, **limits),
        scheduler_policy=policy,
        priority=priority,
    )
    return RunRequest(model=model, prompt=prompt, execution=execution)


async def collect(client: Client, request: RunRequest) -> list[RunMessage]:
    return [message async for message in client.run(request)]


async def record_of(client: Client, request: RunRequest) -> ExecutionRecord:
    messages = await collect(client, request)
    last = messages[-1]
    assert isinstance(last, Finished)
    return last.record


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or task brings about."""
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110  a thread cannot set a trio event
            await trio.sleep(0.001)


class Stream:
    """An execution that a test follows step by step while it does other things."""

    def __init__(self) -> None:
        self.messages: list[RunMessage] = []
        self.error: EngineError | None = None
        self.ended = trio.Event()

    async def follow(self, client: Client, request: RunRequest) -> None:
        try:
            async for message in client.run(request):
                self.messages.append(message)
        except EngineError as error:
            self.error = error
        self.ended.set()

    @property
    def execution_id(self) -> str:
        accepted = self.messages[0]
        assert isinstance(accepted, Accepted)
        return accepted.execution_id

    @property
    def text(self) -> str:
        return "".join(message.text for message in self.messages if isinstance(message, Tokens))

    @property
    def record(self) -> ExecutionRecord:
        finished = self.messages[-1]
        assert isinstance(finished, Finished)
        return finished.record
