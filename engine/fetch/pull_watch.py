"""A pull that one thread carries out, as others see it and end it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from threading import Event

from protocol.errors import ExecutionCancelled
from protocol.progress import StageProgress


@dataclass(frozen=True, slots=True)
class _Moment:
    stage: str
    done: int
    total: int | None
    began_s: float
    """The stage."""
    done_before: int
    """An earlier pull's part of it."""


class PullWatch:
    """Made before the pull, and cancelled before it, during it or after it."""

    def __init__(self) -> None:
        self._cancelled = Event()
        self._latest: _Moment | None = None

    def tell(self, stage: str, done: int, total: int | None) -> None:
        """Bytes. Raises ExecutionCancelled where it was cancelled."""
        self.check()
        latest = self._latest
        if latest is None or latest.stage != stage:
            self._latest = _Moment(stage, done, total, time.monotonic(), done)
        else:
            self._latest = replace(latest, done=done, total=total)

    def check(self) -> None:
        """Raises ExecutionCancelled where it was cancelled."""
        if self._cancelled.is_set():
            raise ExecutionCancelled("the pull was cancelled; the incomplete file is kept for the next one")

    @property
    def cancelled(self) -> bool:
        """Whether it was told to cancel."""
        return self._cancelled.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, unless it is cancelled. Raises ExecutionCancelled."""
        self._cancelled.wait(seconds)
        self.check()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._cancelled.set()

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        latest = self._latest
        if latest is None:
            return None
        return StageProgress(stage=latest.stage, done=latest.done, total=latest.total, eta_s=_eta_s(latest))


def _eta_s(moment: _Moment) -> float | None:
    """At the stage's mean speed so far, to which an earlier pull has added nothing."""
    new = moment.done - moment.done_before
    if moment.total is None or new <= 0:
        return None
    return (time.monotonic() - moment.began_s) * max(0, moment.total - moment.done) / new
