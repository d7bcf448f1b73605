"""The supervisor alone: when what falls is started again, and when it is given up."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from actors.base import RestartableActor
from actors.faults import Faults
from actors.supervisor import RestartLimit, RestartPauses, Supervisor


class Faller(RestartableActor):
    """Falls ``pause_s`` after each start."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self.started_at: list[float] = []
        self.recovered = 0
        self.given_up_at: float | None = None

    def start_tasks(self) -> None:
        self.started_at.append(trio.current_time())
        if self.given_up_at is None:
            self.nursery.start_soon(self._fall)
        else:
            self.nursery.start_soon(trio.sleep_forever)

    def recover(self, failure: str) -> None:
        assert failure == "LookupError: fell"
        self.recovered += 1

    def give_up(self, failure: str) -> None:
        self.given_up_at = trio.current_time()

    async def _fall(self) -> None:
        await trio.sleep(self._pause_s)
        raise LookupError("fell")


class TestSupervisor:
    LIMIT: ClassVar = RestartLimit(restarts=3, within_s=600.0)

    async def test_failures_close_together_are_bounded(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        actor = Faller(pause_s=10.0)
        await nursery.start(Supervisor("faller", actor, Faults(), self.LIMIT).run)
        await trio.sleep(3600)
        assert actor.recovered == 3
        assert actor.given_up_at == pytest.approx(40.0)

    async def test_failures_far_apart_are_not(self, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
        actor = Faller(pause_s=301.0)
        await nursery.start(Supervisor("faller", actor, Faults(), self.LIMIT).run)
        await trio.sleep(36_000)
        assert actor.recovered == 36_000 // 301
        assert actor.given_up_at is None

    async def test_what_is_never_given_up_is_started_after_pauses_that_double(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        actor = Faller(pause_s=1.0)
        await nursery.start(Supervisor("faller", actor, Faults(), RestartPauses(longest_s=8.0)).run)
        await trio.sleep(30.0)
        pauses = [later - earlier - 1.0 for earlier, later in pairwise(actor.started_at)]
        assert pauses == pytest.approx([0.0, 1.0, 2.0, 4.0, 8.0, 8.0])

    async def test_after_a_calm_time_the_next_start_is_at_once(
        self, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        actor = Faller(pause_s=700.0)
        await nursery.start(Supervisor("faller", actor, Faults(), RestartPauses(within_s=600.0)).run)
        await trio.sleep(7000.0)
        assert len(actor.started_at) == 10
        assert actor.given_up_at is None
