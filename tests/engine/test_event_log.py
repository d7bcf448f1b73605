"""The log: which events are written, how, and that no client can fill a disk or read another's words in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from engine.host.event_log import BURST, LogForm, LogLevel, RateLimit, begin_logging, log_event


class Log:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    def begin(self, level: LogLevel = "info", form: LogForm = "json", client_text: bool = False) -> None:
        self.end = begin_logging(level, form, client_text=client_text, stream=self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    log.begin()
    yield log
    log.end()


def test_an_event_is_a_line_of_json(log: Log) -> None:
    log_event("info", "accepted", execution_id="exec-1", prompt_tokens=3, left=None)
    content = json.loads(log.lines[0])
    assert content.pop("at").endswith("+00:00")
    assert content == {"level": "info", "event": "accepted", "execution_id": "exec-1", "prompt_tokens": 3}


def test_an_event_is_a_line_of_text(log: Log) -> None:
    log.end()
    log.begin("info", "text")
    log_event("warning", "refused", reason="2 lines\nin one", code="overloaded")
    assert log.lines[0].endswith(' warning refused reason="2 lines\\nin one" code="overloaded"')


def test_events_below_the_level_are_not_written(log: Log) -> None:
    log.end()
    log.begin("warning")
    log_event("info", "accepted")
    log_event("error", "fault")
    assert [json.loads(line)["event"] for line in log.lines] == ["fault"]


@pytest.mark.parametrize("asked", [False, True])
def test_what_a_client_wrote_is_written_where_it_is_asked_for(log: Log, asked: bool) -> None:
    log.end()
    log.begin(client_text=asked)
    log_event("warning", "refused", text="prompt: got 'my secret'")
    assert ("my secret" in log.lines[0]) == asked


def test_many_lines_of_one_event_are_left_out_and_counted() -> None:
    now = 0.0
    limit = RateLimit(clock=lambda: now)

    def record(event: str = "refused") -> logging.LogRecord:
        made = logging.LogRecord("engine", logging.WARNING, "", 0, event, (), None)
        made.event_fields = {}
        return made

    assert sum(limit.takes(record()) for _ in range(10 * BURST)) == BURST
    assert limit.takes(record("another event"))
    now = 1.0
    told = record()
    assert limit.takes(told)
    assert told.event_fields == {"left_out": 9 * BURST}  # type: ignore[attr-defined]


def test_without_a_log_an_event_costs_nothing_and_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    log_event("error", "fault", where="x")
    assert capsys.readouterr().err == ""
