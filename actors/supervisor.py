"""Runs an actor that others can do without for a moment, and again when it fails, as its policy says."""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import trio

from actors.base import RestartableActor
from actors.faults import Faults, summary


class RestartPolicy(Protocol):
    """When an actor that failed is started again."""

    @property
    def within_s(self) -> float:
        """Restarts that are older do not count."""

    def pause_s(self, restarts: int) -> float | None:
        """How long to wait after so many restarts; ``None``: it is given up."""


@dataclass(frozen=True, slots=True)
class RestartLimit:
    """An actor that fails once more within that time will not be mended by starting it again."""

    restarts: int = 3
    within_s: float = 600.0

    def pause_s(self, restarts: int) -> float | None:
        """See :class:`RestartPolicy`."""
        return 0.0 if restarts < self.restarts else None


@dataclass(frozen=True, slots=True)
class RestartPauses:
    """An actor is started at once for the first time, then after pauses that double, and never given up.

    For one that a client may make fail, which must not end it for all others.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    within_s: float = 600.0

    def pause_s(self, restarts: int) -> float | None:
        """See :class:`RestartPolicy`."""
        return min(self.first_s * 2 ** (restarts - 1), self.longest_s) if restarts else 0.0


_LIMIT = RestartLimit()


class Supervisor:
    """Runs an actor, and starts it again when it fails, as its policy says."""

    def __init__(self, name: str, actor: RestartableActor, faults: Faults, policy: RestartPolicy = _LIMIT) -> None:
        self._name = name
        self._actor = actor
        self._faults = faults
        self._policy = policy
        self._restarts: deque[float] = deque()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. An actor that fails even while it does no more than refuse raises."""
        failure = await self._run_once(task_status)
        while (pause_s := self._pause_s()) is not None:
            try:
                self._actor.recover(summary(failure))
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                # What add_note does, which Python 3.10 lacks; the tracebacks of exceptiongroup show it there.
                failure.__dict__.setdefault("__notes__", []).append(f"It could not be started again:\n{trace}")
                break
            self._faults.tell(self._name, failure, "restarted")
            await trio.sleep(pause_s)
            self._restarts.append(trio.current_time())
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

    def _pause_s(self) -> float | None:
        while self._restarts and trio.current_time() - self._restarts[0] >= self._policy.within_s:
            self._restarts.popleft()
        return self._policy.pause_s(len(self._restarts))
