"""The log of an engine: one line for each event, as text or JSON, on standard error, which a journal may take.

Events are named and have typed fields. No line holds what a client wrote or was answered, unless that is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final, Literal, TextIO

LogLevel = Literal["debug", "info", "warning", "error"]
LogForm = Literal["text", "json"]
BURST: Final = 50
"""Lines of one event that are written at once, however many come."""
LINES_A_SECOND: Final = 10.0
"""Lines of one event beyond a burst; what is left out is counted in the next line."""
_LOGGER: Final = logging.getLogger("engine")
_FIELDS: Final = "event_fields"
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""The numbers of syslog, by which a journal sorts lines that begin with one."""


def log_event(level: LogLevel, event: str, *, text: str | None = None, **fields: Any) -> None:
    """Write an event. ``text`` may hold what a client wrote: it is left out unless asked for."""
    number = _number(level)
    if _LOGGER.isEnabledFor(number):
        told = {name: value for name, value in fields.items() if value is not None}
        _LOGGER.log(number, event, extra={_FIELDS: told, "client_text": text})


def is_logging() -> bool:
    """Whether events are written anywhere."""
    return any(isinstance(handler.formatter, _Lines) for handler in _LOGGER.handlers)


def begin_logging(
    level: LogLevel, form: LogForm, *, client_text: bool = False, stream: TextIO | None = None
) -> Callable[[], None]:
    """Write events of this level and above from now on; what ends that. ``client_text``: with what clients wrote."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Lines(form, client_text, journal=stream is None and "JOURNAL_STREAM" in os.environ))
    handler.addFilter(RateLimit().takes)
    _LOGGER.propagate = False
    _LOGGER.setLevel(_number(level))
    _LOGGER.addHandler(handler)

    def end() -> None:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = True
        _LOGGER.setLevel(logging.CRITICAL)

    return end


_LOGGER.setLevel(logging.CRITICAL)  # until logging begins, an event costs nothing


@dataclass(slots=True)
class _Allowance:
    lines: float = BURST
    since: float = field(default_factory=time.monotonic)
    left_out: int = 0


class RateLimit:
    """Bounds the lines of each event, so that no client can fill a disk. Called under the handler's lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances: defaultdict[str, _Allowance] = defaultdict(lambda: _Allowance(since=clock()))

    def takes(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that is says how many like it were not."""
        allowance, now = self._allowances[record.msg], self._clock()
        allowance.lines = min(float(BURST), allowance.lines + LINES_A_SECOND * (now - allowance.since))
        allowance.since = now
        if allowance.lines < 1:
            allowance.left_out += 1
            return False
        allowance.lines -= 1
        if allowance.left_out:
            getattr(record, _FIELDS, {})["left_out"] = allowance.left_out
            allowance.left_out = 0
        return True


class _Lines(logging.Formatter):
    def __init__(self, form: LogForm, client_text: bool, *, journal: bool) -> None:
        super().__init__()
        self._form = form
        self._client_text = client_text
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = dict(getattr(record, _FIELDS, {}))
        text = getattr(record, "client_text", None)
        if self._client_text and text is not None:
            fields["text"] = text
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        if self._form == "json":
            return json.dumps({"at": at, "level": level, "event": record.msg, **fields}, default=str)
        trace = fields.pop("traceback", "")
        told = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in fields.items())
        line = f"{level} {record.msg} {told}".rstrip()
        line = f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else f"{at} {line}"
        return f"{line}\n{trace}".rstrip()


def _number(level: LogLevel) -> int:
    return int(logging.getLevelName(level.upper()))
