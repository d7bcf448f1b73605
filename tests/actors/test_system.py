"""The whole system in this process, with no socket: the life of an execution from request to record."""

from __future__ import annotations

from protocol.answers import Accepted, Finished, Tokens
from tests.actors.engine_factory import collect, make_client, make_request
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import BUILD


async def test_an_execution_is_accepted_streamed_and_finished() -> None:
    backend = FakeBackend(answer=("Hel", "lo"))
    async with make_client(backend) as client:
        messages = await collect(client, make_request("abc"))
    accepted, tokens, finished = messages
    assert isinstance(accepted, Accepted)
    assert accepted.plan_fingerprint == accepted.plan.fingerprint
    assert isinstance(tokens, Tokens)
    assert tokens.text == "Hello"
    assert isinstance(finished, Finished)
    record = finished.record
    assert record.result == "Hello"
    assert record.token_ids == tokens.token_ids
    assert record.prompt_token_ids == (97, 98, 99)
    assert record.stop_reason == "eos"
    assert record.hardware.kernel_path == "fake"
    assert record.build == BUILD
    assert record.metrics.tokens_total == 2
    assert record.metrics.ttft_ms is not None
    assert record.metrics.watts_avg is None
    assert record.metrics.energy.reason == "no meter"
    assert backend.closed
