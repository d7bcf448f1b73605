"""What an engine logs of its clients: who was refused and why, what began and ended, and none of their words."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.limits import ServiceLimits
from actors.policies.requester import Requester
from actors.system import running
from engine.host.event_log import begin_logging
from protocol.client import connect, open_client
from protocol.errors import Overloaded
from protocol.requests import Metrics
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.raw_client import RawClient
from tests.actors.test_bad_input import run_message


class Lines:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    def of(self, event: str) -> list[dict[str, Any]]:
        contents = map(json.loads, self.stream.getvalue().splitlines())
        return [content for content in contents if content["event"] == event]


@pytest.fixture
def log() -> Iterator[Lines]:
    lines = Lines()
    end = begin_logging("info", "json", stream=lines.stream)
    yield lines
    end()


async def test_an_execution_is_followed_by_its_id(log: Lines) -> None:
    asker = Requester(user="uid:7", client="pid:8")
    system = make_system(FakeBackend(answer=("an answer",)))
    async with running(system), open_client(system.connect(asker)) as client:
        record = await record_of(client, make_request("a prompt"))
    for event in ("accepted", "started", "ended"):
        (line,) = log.of(event)
        assert line["execution_id"] == record.execution_id
    assert (log.of("accepted")[0]["user"], log.of("accepted")[0]["client"]) == ("uid:7", "pid:8")
    assert log.of("ended")[0]["stop_reason"] == record.stop_reason
    assert "a prompt" not in log.stream.getvalue()
    assert "an answer" not in log.stream.getvalue()


async def test_refusals_are_logged_and_counted_wherever_they_come_from(log: Lines) -> None:
    backend = FakeBackend()
    async with running(make_system(backend, limits=ServiceLimits(max_queued=1))) as system, system.client() as client:
        raw = RawClient(system.connect())
        await raw.greet()
        await raw.send(run_message(7, own_field="my words"))
        assert (await raw.failure()).code == "invalid_request"
        await raw.send({"type": "Nothing", "request_id": 8})
        assert (await raw.failure()).code == "unknown_message"
        stream, queued = Stream(), Stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.follow, client, make_request(max_sequences=1))
            await until(lambda: bool(backend.live))
            nursery.start_soon(queued.follow, client, make_request(max_sequences=1))
            await until(lambda: bool(queued.messages))
            with pytest.raises(Overloaded):
                await record_of(client, make_request(max_sequences=1))
            report = await client.ask(Metrics())
            nursery.cancel_scope.cancel()
    failures = next(family for family in report.families if family.name == "engine_failures_total")
    counted = {sample.labels["code"]: sample.value for sample in failures.samples}
    assert counted == {"invalid_request": 1, "unknown_message": 1, "overloaded": 1}
    refused = {line["code"]: line for line in log.of("refused")}
    assert set(refused) >= set(counted)
    assert "1 executions are queued" in refused["overloaded"]["reason"]
    assert refused["invalid_request"]["field"] == "request.execution.own_field"
    assert refused["invalid_request"]["request_id"] == 7
    assert "my words" not in log.stream.getvalue()


async def test_a_client_that_comes_back_is_told_of(log: Lines, tmp_path: Path) -> None:
    socket = tmp_path / "private" / "engine.sock"
    async with running(make_system(FakeBackend(), socket_path=socket)) as system:
        for times in range(2):
            async with connect(socket):
                await until(lambda: system.statistics().api_server.connections == 1)
            await until(lambda: system.statistics().api_server.connections == 0)
            assert len(log.of("reconnected")) == times
            if times:
                (line,) = log.of("reconnected")
                assert (line["user"], line["client"]) == (f"uid:{os.getuid()}", f"pid:{os.getpid()}")
