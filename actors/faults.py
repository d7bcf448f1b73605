"""What went wrong inside the engine, and what became of it: told on stderr at once, kept for ``status``."""

from __future__ import annotations

import sys
import time
import traceback
from collections import deque
from collections.abc import Callable

from exceptiongroup import BaseExceptionGroup

from engine.host.event_log import is_logging, log_event
from protocol.summaries import Fault, FaultConsequence

_KEPT = 16
"""Faults that ``status`` shows; stderr has them all."""

EXECUTOR = "executor"
ENERGY_SAMPLER = "energy sampler"
HTTP_GATEWAY = "http gateway"

TellFault = Callable[[str, BaseException, FaultConsequence], None]
"""(where, error, consequence)"""


class Faults:
    """The latest faults, and the actors that have failed for good."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._latest: deque[Fault] = deque(maxlen=_KEPT)
        self._failed: dict[str, str] = {}

    @property
    def latest(self) -> tuple[Fault, ...]:
        """The oldest first."""
        return tuple(self._latest)

    @property
    def failed(self) -> dict[str, str]:
        """Actors that do no more than refuse until the engine is started again, and why."""
        return dict(self._failed)

    def tell(self, where: str, error: BaseException, consequence: FaultConsequence) -> None:
        """With the consequence ``failed``, ``where`` is an actor that is not started again."""
        fault = Fault(
            where=where, error=summary(error), consequence=consequence, uptime_s=time.monotonic() - self._began_s
        )
        self._latest.append(fault)
        if consequence == "failed":
            self._failed[where] = fault.error
        trace = "".join(traceback.format_exception(error))
        if is_logging():
            log_event("error", "fault", where=where, error=fault.error, consequence=consequence, traceback=trace)
            return
        sys.stderr.write(f"fault in {where}, consequence: {consequence}\n{trace}")
        sys.stderr.flush()


def summary(error: BaseException) -> str:
    """One line: of a group of one, that one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
