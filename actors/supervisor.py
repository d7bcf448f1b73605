"""Runs an actor that others can do without for a moment, and again when it fails, as often as its bound allows."""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass

import trio

from actors.base import RestartableActor
from actors.faults import Faults, summary


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """An actor that fails once more within that time will not be mended by starting it again."""

    restarts: int = 3
    within_s: float = 600.0


_LIMIT = RestartLimit()


class Supervisor:
    """Runs an actor, and starts it again when it fails, within a limit."""

    def __init__(self, name: str, actor: RestartableActor, faults: Faults, limit: RestartLimit = _LIMIT) -> None:
        self._name = name
        self._actor = actor
        self._faults = faults
        self._limit = limit
        self._restarts: deque[float] = deque(maxlen=limit.restarts)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. An actor that fails even while it does no more than refuse raises."""
        failure = await self._run_once(task_status)
        while not self._exhausted():
            self._restarts.append(trio.current_time())
            try:
                self._actor.recover(summary(failure))
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                # What add_note does, which Python 3.10 lacks; the tracebacks of exceptiongroup show it there.
                failure.__dict__.setdefault("__notes__", []).append(f"It could not be started again:\n{trace}")
                break
            self._faults.tell(self._name, failure, "restarted")
            failure = await self._run_once(trio.TASK_STATUS_IGNORED)
        self._faults.tell(self._name, failure, "failed")
        self._actor.give_up(summary(failure))
        await self._actor.run()

    async def _run_once(self, task_status: trio.TaskStatus[None]) -> Exception:
        try:
            await self._actor.run(task_status=task_status)
        except Exception as failure:
            return failure
        raise AssertionError(f"the {self._name} ended of itself")

    def _exhausted(self) -> bool:
        if len(self._restarts) < self._limit.restarts:
            return False
        return trio.current_time() - self._restarts[0] < self._limit.within_s
