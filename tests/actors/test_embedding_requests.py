"""Vectors are asked for as an operation: told of on the way, answered in one message however large, given up with its
client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from actors.availability import refuse_unavailable
from actors.faults import EXECUTOR
from actors.system import running
from protocol.answers import Progress
from protocol.client import Client
from protocol.embedding import EmbeddingRequest
from protocol.errors import BackendUnavailable, FrameTooLarge
from protocol.operation_answers import Embedded
from protocol.requests import Embed
from tests.actors.engine_factory import make_client, make_system, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain

VECTOR_OF_4_MIB = 2**20


def embed(client: Client, *texts: str) -> AsyncGenerator[Progress | Embedded, None]:
    request = EmbeddingRequest(model="tiny", texts=texts or ("abc",), pooling="last")
    return client.follow(Embed(request=request))


async def follow(domain: FakeDomain, client: Client, *texts: str, dimension: int = 2) -> list[Progress | Embedded]:
    """Ends once it has told of its progress."""
    told: list[Progress | Embedded] = []
    async with aclosing(embed(client, *texts)) as messages:
        async for message in messages:
            told.append(message)
            domain.operations_begun[-1].dimension = dimension
            domain.operations_begun[-1].may_end.set()
    return told


async def test_progress_is_told_until_the_vectors_come() -> None:
    domain = FakeDomain()
    async with make_client(FakeBackend(), domain) as client:
        *progress, embedded = await follow(domain, client, "a", "bcd")
    assert isinstance(progress[0], Progress)
    assert isinstance(embedded, Embedded)
    assert [text.tokens for text in embedded.texts] == [1, 3]
    assert [text.values for text in embedded.texts] == [(0.0, 0.0)] * 2
    assert (embedded.pooling, embedded.pooling_from) == ("last", "request")


async def test_an_answer_larger_than_an_outbox_arrives_whole() -> None:
    domain = FakeDomain()
    async with make_client(FakeBackend(), domain) as client:
        embedded = (await follow(domain, client, "a", "b", dimension=VECTOR_OF_4_MIB))[-1]
    assert isinstance(embedded, Embedded)
    assert [len(text.values) for text in embedded.texts] == [VECTOR_OF_4_MIB] * 2


async def test_an_answer_larger_than_a_frame_is_a_typed_failure() -> None:
    domain = FakeDomain()
    async with make_client(FakeBackend(), domain) as client:
        with pytest.raises(FrameTooLarge):
            await follow(domain, client, "a", "b", "c", dimension=VECTOR_OF_4_MIB)
        assert len(await follow(domain, client)) >= 2


async def test_who_goes_away_ends_it() -> None:
    domain = FakeDomain()
    async with running(make_system(FakeBackend(), domain)) as system:
        async with system.client() as client, aclosing(embed(client)) as messages:
            await anext(messages)
        await until(domain.operations_begun[0].cancelled.is_set)


def test_without_a_backend_it_is_refused() -> None:
    asked = Embed(request_id=1, request=EmbeddingRequest(model="tiny", texts=("abc",)))
    refuse_unavailable(asked, {}, executions=0)
    with pytest.raises(BackendUnavailable, match="it is gone"):
        refuse_unavailable(asked, {EXECUTOR: "it is gone"}, executions=0)
