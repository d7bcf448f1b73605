"""Room for bytes: of those who wait for it only those are woken who have it."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.policies.requester import Requester
from actors.request_room import RequestRoom
from tests.actors.turn_counter import counting


def client(number: int) -> Requester:
    return Requester(user=f"uid:{number}", client="pid:1")


HOLDER = client(0)


class Crowd:
    """Tasks that wait for bytes and keep them."""

    def __init__(self, capacity: int, nursery: trio.Nursery) -> None:
        self.room = RequestRoom(10, capacity)
        self.served: list[str] = []
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}

    async def come(self, name: str, asker: Requester, size: int) -> None:
        self._nursery.start_soon(self._take, name, asker, size, name="crowd")
        await wait_all_tasks_blocked()

    async def go(self, name: str) -> None:
        self._scopes[name].cancel()
        await wait_all_tasks_blocked()

    async def _take(self, name: str, asker: Requester, size: int) -> None:
        with trio.CancelScope() as self._scopes[name]:
            await self.room.take_bytes(asker, size)
            self.served.append(name)


async def test_what_is_free_again_wakes_those_alone_who_have_it() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(1000, nursery)
        await crowd.room.take_bytes(HOLDER, 500)
        await crowd.room.take_bytes(client(1), 400)
        for number in range(50):
            await crowd.come(str(number), client(2), 300)
        with counting("crowd") as counter:
            crowd.room.give_back_bytes(HOLDER, 500)
            await wait_all_tasks_blocked()
        assert crowd.served == ["0"]
        assert counter.most == 1
        nursery.cancel_scope.cancel()


async def test_each_clients_own_go_in_their_order_and_block_no_other() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(1000, nursery)
        await crowd.room.take_bytes(HOLDER, 800)
        await crowd.come("large", client(1), 300)
        await crowd.come("its small one", client(1), 10)
        await crowd.come("another's", client(2), 180)
        assert crowd.served == []
        crowd.room.give_back_bytes(HOLDER, 100)
        await wait_all_tasks_blocked()
        assert crowd.served == ["another's"]
        crowd.room.give_back_bytes(HOLDER, 300)
        await wait_all_tasks_blocked()
        assert crowd.served == ["another's", "large"]
        crowd.room.give_back_bytes(HOLDER, 400)
        await wait_all_tasks_blocked()
        assert crowd.served == ["another's", "large", "its small one"]


async def test_whoever_leaves_lets_those_behind_it_pass() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(1000, nursery)
        await crowd.room.take_bytes(HOLDER, 800)
        await crowd.come("large", client(1), 900)
        await crowd.come("small", client(1), 50)
        await crowd.go("large")
        assert crowd.served == ["small"]
        crowd.room.give_back_bytes(HOLDER, 800)
        crowd.room.give_back_bytes(client(1), 50)
        assert crowd.room.waiting_bytes == 0
