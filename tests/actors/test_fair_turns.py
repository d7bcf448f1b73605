"""Each client that waits gets a place in turn, however many requests of its own wait."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from actors.fair_turns import FairTurns
from actors.policies.requester import Requester


def client(number: int) -> Requester:
    return Requester(user="uid:1", client=f"pid:{number}")


class Crowd:
    """Tasks that each take a turn and leave when they are told."""

    def __init__(self, places: int, nursery: trio.Nursery) -> None:
        self.turns = FairTurns(places)
        self.inside: list[str] = []
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}

    async def come(self, name: str, asker: Requester) -> None:
        self._nursery.start_soon(self._take, name, asker)
        await wait_all_tasks_blocked()

    async def go(self, name: str) -> None:
        self._scopes[name].cancel()
        await wait_all_tasks_blocked()

    async def _take(self, name: str, asker: Requester) -> None:
        with trio.CancelScope() as self._scopes[name]:
            async with self.turns.turn(asker):
                self.inside.append(name)
                await trio.sleep_forever()


async def test_a_newcomer_waits_for_one_of_anothers_many_and_no_more() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(1, nursery)
        for number in range(4):
            await crowd.come(f"greedy {number}", client(1))
        await crowd.come("newcomer", client(2))
        for name in ("greedy 0", "greedy 1", "newcomer", "greedy 2"):
            assert crowd.inside[-1] == name
            await crowd.go(name)
        assert crowd.inside == ["greedy 0", "greedy 1", "newcomer", "greedy 2", "greedy 3"]
        assert crowd.turns.busy
        await crowd.go("greedy 3")
        assert not crowd.turns.busy


async def test_one_who_leaves_while_waiting_takes_no_place() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(2, nursery)
        for number in range(4):
            await crowd.come(str(number), client(number))
        await crowd.go("2")
        await crowd.go("0")
        assert crowd.inside == ["0", "1", "3"]
        await crowd.go("1")
        await crowd.go("3")
        assert not crowd.turns.busy


async def test_a_place_that_was_passed_to_one_who_leaves_is_passed_on() -> None:
    async with trio.open_nursery() as nursery:
        crowd = Crowd(1, nursery)
        for number in range(3):
            await crowd.come(str(number), client(number))
        # Both in one step: the second is called, and cancelled before it runs.
        crowd._scopes["0"].cancel()
        crowd._scopes["1"].cancel()
        await wait_all_tasks_blocked()
        assert crowd.inside[-1] == "2"
        await crowd.go("2")
        assert not crowd.turns.busy
