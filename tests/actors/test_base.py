"""Inboxes, and messages that are handled where they are put."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.base import Actor, Inbox


class Listener(Actor):
    """Takes even numbers where they are put, and waits for ``may_go_on`` with any other."""

    def __init__(self) -> None:
        self.inbox = Inbox[int]("numbers", 8, "a test's")
        self.heard: list[int] = []
        self.may_go_on = trio.Event()

    def start_tasks(self) -> None:
        self.serve(self.inbox, self._on_number)
        self.serve_at_once(self.inbox, self._take)

    async def _on_number(self, number: int) -> None:
        if number % 2:
            await self.may_go_on.wait()
        self.heard.append(number)

    def _take(self, number: int) -> bool:
        if number < 0:
            raise ValueError("a negative number")
        if number % 2:
            return False
        self.heard.append(number)
        return True


async def test_what_needs_no_waiting_is_handled_where_it_is_put(nursery: trio.Nursery) -> None:
    listener = Listener()
    await nursery.start(listener.run)
    await listener.inbox.put(2)
    listener.inbox.put_nowait(4)
    assert listener.heard == [2, 4]
    nursery.cancel_scope.cancel()


async def test_no_message_overtakes_one_that_is_still_being_handled(nursery: trio.Nursery) -> None:
    listener = Listener()
    await nursery.start(listener.run)
    for number in (2, 1, 4, 6):
        await listener.inbox.put(number)
    await wait_all_tasks_blocked()
    await listener.inbox.put(8)
    assert listener.heard == [2]
    listener.may_go_on.set()
    await wait_all_tasks_blocked()
    await listener.inbox.put(10)
    assert listener.heard == [2, 1, 4, 6, 8, 10]
    nursery.cancel_scope.cancel()


async def test_what_came_before_the_actor_ran_comes_first(nursery: trio.Nursery) -> None:
    listener = Listener()
    listener.may_go_on.set()
    for number in (1, 2):
        await listener.inbox.put(number)
    await nursery.start(listener.run)
    await listener.inbox.put(4)
    await wait_all_tasks_blocked()
    assert listener.heard == [1, 2, 4]
    nursery.cancel_scope.cancel()


async def test_a_failure_where_a_message_is_put_ends_its_receiver_and_not_the_sender() -> None:
    listener = Listener()
    sent = False
    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="a negative number"))):
        async with trio.open_nursery() as nursery:
            await nursery.start(listener.run)
            await listener.inbox.put(-1)
            sent = True
            await trio.sleep_forever()
    assert sent
