"""Weights that nothing has used for a time leave memory, where the operator has set one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def let_unused_weights_go(keep_alive_s: float, let_go: Callable[[], Awaitable[None]]) -> None:
    """Have ``let_go`` evict what was not used since its last call, each ``keep_alive_s``, without end: weights go after
    that time at least, and after twice of it at most."""
    while True:
        await trio.sleep(keep_alive_s)
        await let_go()
