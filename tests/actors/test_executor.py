"""The executor with nothing around it but its inboxes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.base import Inbox
from actors.executor import Executor
from actors.faults import Faults
from actors.messages import (
    Advanced,
    ControlEvent,
    ExecutorRequest,
    Halt,
    Halted,
    Pause,
    Preparing,
    Resume,
    SlotFreed,
    Start,
    Started,
    StartFailed,
)
from protocol.errors import InvalidModel, InvalidPlan, OutOfMemoryBudget
from protocol.progress import StageProgress
from tests.actors.engine_factory import make_request, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_plans import make_plan, make_planned
from tests.actors.message_form import CODEC


def no_client_socket(_: int) -> None:
    """Every client is in this process."""


@dataclass
class Stage:
    backend: FakeBackend = field(default_factory=FakeBackend)
    requests: Inbox[ExecutorRequest] = field(default_factory=lambda: Inbox("requests", 100, "a test's", CODEC))
    told: list[ControlEvent] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    async def start(self, name: str, model: str = "tiny") -> None:
        planned = make_planned(make_plan(make_request(model=model)), (1, 2))
        start = Start(
            execution_id=name, connection_id=1, request_id=1, planned=planned, prefill_rank=0, prefill_share=256
        )
        await self.requests.put(start)

    async def halt(self, name: str) -> None:
        await self.requests.put(Halt(execution_id=name))

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]

    async def listen(self, events: Inbox[ControlEvent]) -> None:
        async for event in events:
            self.told.append(event)

    async def listen_freed(self, events: Inbox[SlotFreed]) -> None:
        async for event in events:
            self.freed.append(event.execution_id)


@pytest.fixture
async def stage(nursery: trio.Nursery) -> AsyncIterator[Stage]:
    stage = Stage()
    told = Inbox[ControlEvent]("told", 1, "a test's", CODEC)
    freed = Inbox[SlotFreed]("freed", 1, "a test's", CODEC)
    nursery.start_soon(stage.listen, told)
    nursery.start_soon(stage.listen_freed, freed)
    await nursery.start(
        Executor(stage.requests, told, freed, stage.backend, FakeBackend, stage.faults.tell, no_client_socket).run
    )
    yield stage
    nursery.cancel_scope.cancel()


async def test_weights_are_loaded_once_and_every_start_is_answered(stage: Stage) -> None:
    stage.backend.may_load.clear()
    for name in ("a", "b", "c"):
        await stage.start(name)
    await wait_all_tasks_blocked()
    stage.backend.may_load.set()
    await until(lambda: len(stage.told) == 3)
    assert stage.kinds() == ["Started", "Started", "Started"]
    started = stage.told[0]
    assert isinstance(started, Started)
    assert started.load_end_ns > started.load_start_ns
    await stage.start("d")
    await until(lambda: len(stage.told) == 4)
    warm = stage.told[3]
    assert isinstance(warm, Started)
    assert warm.load_end_ns == warm.load_start_ns
    await stage.start("e", model="tiny-2")
    await until(lambda: len(stage.told) == 5)
    await until(lambda: stage.backend.holds == 0)
    assert [plan.model_ref.name for plan in stage.backend.loads] == ["tiny", "tiny-2"]


async def test_one_drain_is_one_message_and_frees_the_slots_of_what_ended(stage: Stage) -> None:
    for name in ("a", "b"):
        await stage.start(name)
    await until(lambda: stage.backend.live == {1, 2})
    stage.backend.emit(1, "x", "y", stop="eos")
    stage.backend.emit(2, "z")
    await until(lambda: stage.freed == ["a"] and stage.kinds()[-1] == "Advanced")
    advanced = stage.told[-1]
    assert isinstance(advanced, Advanced)
    assert [(one.execution_id, one.events.text) for one in advanced.advances] == [("a", "xy"), ("b", "z")]


async def test_no_drain_while_nothing_happens(stage: Stage) -> None:
    await stage.start("a")
    await until(lambda: bool(stage.backend.live))
    await trio.sleep(0.05)
    assert stage.backend.drains == 0


async def test_a_failed_load_is_told_to_all_who_waited_and_may_be_tried_again(stage: Stage) -> None:
    stage.backend.load_error = InvalidModel("torn", path="/x")
    stage.backend.may_load.clear()
    await stage.start("a")
    await stage.start("b")
    await wait_all_tasks_blocked()
    stage.backend.may_load.set()
    await until(lambda: sorted(stage.freed) == ["a", "b"] and bool(stage.told))
    failed = stage.told[0]
    assert isinstance(failed, StartFailed)
    assert (failed.code, failed.message, failed.params) == ("invalid_model", "torn", {"path": "/x"})
    stage.backend.load_error = None
    await stage.start("c")
    await until(lambda: stage.kinds()[-1] == "Started")


async def test_a_refused_submit_frees_its_slot(stage: Stage) -> None:
    stage.backend.submit_errors = [InvalidPlan("a chunk of no tokens")]
    await stage.start("a")
    await until(lambda: stage.freed == ["a"] and bool(stage.told))
    assert stage.kinds() == ["StartFailed"]
    assert stage.backend.holds == 0


async def test_where_memory_is_short_a_load_gets_the_chance_to_make_room(stage: Stage) -> None:
    await stage.start("a")
    await until(lambda: bool(stage.backend.live))
    stage.backend.submit_errors = [OutOfMemoryBudget("idle weights are in the way")]
    await stage.start("b")
    await until(lambda: stage.kinds() == ["Started", "Started"])
    assert len(stage.backend.loads) == 2


async def test_where_no_room_can_be_made_it_is_told(stage: Stage) -> None:
    stage.backend.submit_errors = [OutOfMemoryBudget("no room for its KV cache")]
    await stage.start("a")
    await until(lambda: stage.freed == ["a"] and bool(stage.told))
    assert stage.kinds() == ["StartFailed"]
    await until(lambda: stage.backend.holds == 0)


async def test_progress_is_told_to_all_who_wait(stage: Stage) -> None:
    stage.backend.load_progress = StageProgress(stage="quantizing", done=25, total=100)
    stage.backend.may_load.clear()
    await stage.start("a")
    await stage.start("b")
    await until(lambda: len(stage.told) >= 2)
    told = [event for event in stage.told if isinstance(event, Preparing)]
    assert {event.execution_id for event in told} == {"a", "b"}
    assert told[0].progress.done == 25
    assert told[0].progress.eta_s is not None


async def test_when_nobody_waits_any_more_the_load_is_cancelled(stage: Stage) -> None:
    stage.backend.may_load.clear()
    await stage.start("a")
    await stage.start("b")
    await until(stage.backend.loading.is_set)
    await stage.halt("a")
    await wait_all_tasks_blocked()
    assert stage.backend.cancelled_loads == 0
    await stage.halt("b")
    await until(lambda: stage.backend.cancelled_loads == 1)
    assert stage.freed == ["a", "b"]


async def test_who_comes_while_a_load_is_being_cancelled_gets_one_of_its_own(stage: Stage) -> None:
    stage.backend.may_load.clear()
    await stage.start("a")
    await until(stage.backend.loading.is_set)
    await stage.halt("a")
    await stage.start("b")
    await until(lambda: stage.backend.cancelled_loads == 1)
    stage.backend.may_load.set()
    await until(lambda: stage.kinds() == ["Halted", "Started"])


async def test_halts_of_the_unknown_and_the_ended_have_no_effect(stage: Stage) -> None:
    await stage.halt("nobody")
    await stage.start("a")
    await until(lambda: bool(stage.backend.live))
    stage.backend.emit(1, stop="eos")
    await until(lambda: stage.freed == ["a"])
    await stage.halt("a")
    await wait_all_tasks_blocked()
    assert stage.backend.cancelled == []
    assert stage.freed == ["a"]


async def test_a_halt_while_loading_is_answered_before_the_load_ends(stage: Stage) -> None:
    stage.backend.may_load.clear()
    await stage.start("a")
    await stage.start("b")
    await stage.halt("a")
    await until(lambda: stage.freed == ["a"] and bool(stage.told))
    assert isinstance(stage.told[0], Halted)
    stage.backend.may_load.set()
    await until(lambda: len(stage.backend.prompts) == 1)


async def test_a_pause_reaches_the_sequence_and_none_that_has_ended(stage: Stage) -> None:
    await stage.start("a")
    await until(lambda: 1 in stage.backend.live)
    await stage.requests.put(Pause(execution_id="a"))
    await until(lambda: stage.backend.paused == {1})
    await stage.requests.put(Resume(execution_id="a"))
    await until(lambda: not stage.backend.paused)
    stage.backend.emit(1, stop="eos")
    await until(lambda: stage.freed == ["a"])
    await stage.requests.put(Pause(execution_id="a"))
    await wait_all_tasks_blocked()
    assert not stage.backend.paused
