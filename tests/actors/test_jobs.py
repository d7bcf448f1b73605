"""Requests in worker threads: given up one by one or all at once, a few in each turn of the event loop."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.jobs import Jobs
from protocol.answers import AnswerMessage
from protocol.errors import EngineError
from tests.actors.turn_counter import counting

JOB = "actors.jobs.Jobs._run"


class Answers:
    """What jobs were answered with, by connection and request."""

    def __init__(self) -> None:
        self.codes: dict[tuple[int, int], str] = {}
        self.jobs = Jobs(self._send, self._ended, lambda part, error, outcome: None)

    async def begin(self, nursery: trio.Nursery, connection_id: int, count: int) -> None:
        """Start jobs that go on until they are given up, with the ids from 0."""
        for request_id in range(count):
            self.jobs.begin(nursery, connection_id, request_id, trio.sleep_forever)
        await wait_all_tasks_blocked()

    async def _send(self, connection_id: int, request_id: int, answer: AnswerMessage | EngineError) -> None:
        assert isinstance(answer, EngineError)
        self.codes[connection_id, request_id] = answer.code

    async def _ended(self) -> None:
        pass


async def test_those_of_a_client_that_went_end_a_few_at_a_time() -> None:
    answers = Answers()
    async with trio.open_nursery() as nursery:
        await answers.begin(nursery, connection_id=1, count=100)
        with counting(JOB) as steps:
            await answers.jobs.cancel(1, range(100))
            await wait_all_tasks_blocked()
        assert steps.ended == 100
        assert steps.most <= 8
        assert len(answers.jobs) == 0


async def test_requests_that_were_not_given_up_go_on() -> None:
    answers = Answers()
    async with trio.open_nursery() as nursery:
        await answers.begin(nursery, connection_id=1, count=10)
        await answers.begin(nursery, connection_id=2, count=10)
        await answers.jobs.cancel(1, [3, 4, 5, 6, 7])
        await wait_all_tasks_blocked()
        assert sorted(answers.codes) == [(1, number) for number in (3, 4, 5, 6, 7)]
        assert len(answers.jobs) == 15
        await answers.jobs.cancel_all()
        await wait_all_tasks_blocked()
        assert len(answers.jobs) == 0
        assert set(answers.codes.values()) == {"shutting_down"}
