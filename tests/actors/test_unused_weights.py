"""Weights leave memory after a time without use, under virtual time."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from actors.unused_weights import let_unused_weights_go


async def test_a_look_is_taken_each_time_that_was_set(autojump_clock: MockClock) -> None:
    looks: list[float] = []
    began = trio.current_time()

    async def look() -> None:
        looks.append(trio.current_time() - began)

    with trio.move_on_after(950):
        await let_unused_weights_go(300, look)
    assert looks == [300, 600, 900]
