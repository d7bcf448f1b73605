"""A panic of a library written in Rust ends the one request that met it."""

from __future__ import annotations

import pytest
import trio

from actors.system import running
from engine.operation import Operation
from engine.planned_execution import PlannedExecution
from protocol.errors import InternalError
from protocol.requests import Detokenize, Status
from tests.actors.engine_factory import Stream, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend, FakeModel
from tests.actors.fake_domain import FakeDomain
from tests.support.panicking import panic


class PanickingLoads(FakeBackend):
    def load(self, planned: PlannedExecution) -> Operation[FakeModel]:  # type: ignore[override]
        operation = super().load(planned)
        operation.run = panic  # type: ignore[method-assign]
        return operation


async def test_a_panic_at_a_question_is_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDomain, "detokenize", panic)
    async with running(make_system(FakeBackend(answer=("ok",)))) as system, system.client() as client:
        with pytest.raises(InternalError, match="PanicError"):
            await client.ask(Detokenize(model="tiny", token_ids=(1,)))
        assert (await record_of(client, make_request())).result == "ok"
        assert [(one.where, one.consequence) for one in (await client.ask(Status())).faults] == [("job", "answered")]


async def test_a_panic_while_planning_ends_that_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(make_system(FakeBackend(answer=("ok",)))) as system, system.client() as client:
        with monkeypatch.context() as panicking:
            panicking.setattr(FakeDomain, "prepare", panic)
            with pytest.raises(InternalError, match="PanicError"):
                await record_of(client, make_request())
        assert (await record_of(client, make_request())).result == "ok"


async def test_a_panic_while_loading_ends_what_waits_for_the_load() -> None:
    backend = PanickingLoads()
    backend.held["tiny"] = FakeModel("tiny")
    async with running(make_system(backend)) as system, system.client() as client, trio.open_nursery() as nursery:
        runs = Stream()
        nursery.start_soon(runs.follow, client, make_request())
        await until(lambda: bool(backend.live))
        with pytest.raises(InternalError, match="PanicError"):
            await record_of(client, make_request(model="tiny-2"))
        backend.emit(1, "all well", stop="eos")
        await runs.ended.wait()
        assert runs.record.result == "all well"
