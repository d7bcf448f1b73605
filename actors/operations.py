"""Carrying an operation out in a worker thread, telling on the way how far it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from engine.operation import Operation
from protocol.errors import EngineError
from protocol.panic import panics_contained
from protocol.progress import StageProgress

Result = TypeVar("Result")
Tell = Callable[[StageProgress], Awaitable[None]]

_POLL_S = 0.1
"""Ten times a second is as often as a person can see, and costs nothing beside what takes so long."""


async def carry_out(
    operation: Operation[Result],
    tell: Tell,
    threads: trio.CapacityLimiter | None = None,
    *,
    await_end: bool = True,
) -> Result:
    """The operation's result. Where the caller is cancelled so is the operation, and its end is awaited; without
    ``await_end`` the thread is left to come to it.

    What takes less than a poll's time tells nothing. Raises what the operation raises.
    """
    outcome: Result
    failure: EngineError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell_progress, operation, tell)
        with trio.CancelScope(shield=await_end):
            try:
                work = panics_contained(operation.run)
                outcome = await trio.to_thread.run_sync(work, limiter=threads, abandon_on_cancel=not await_end)
            except EngineError as error:
                failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return outcome


async def _tell_progress(operation: Operation[Result], tell: Tell) -> None:
    try:
        stage, since = "", trio.current_time()
        while True:
            await trio.sleep(_POLL_S)
            progress = operation.progress()
            if progress is None:
                continue
            if progress.stage != stage:
                stage, since = progress.stage, trio.current_time()
            await tell(with_eta(progress, trio.current_time() - since))
    finally:
        operation.cancel()


def with_eta(progress: StageProgress, elapsed_s: float) -> StageProgress:
    """The progress of a stage that has taken so long, with the time that what is left takes at its mean speed.

    Where the operation knows that time itself, it stays.
    """
    if progress.eta_s is not None or not progress.total or not progress.done or elapsed_s <= 0:
        return progress
    eta_s = elapsed_s * max(0, progress.total - progress.done) / progress.done
    return progress.model_copy(update={"eta_s": eta_s})
