"""How far a pull has come, and how long the rest will take."""

from __future__ import annotations

import pytest

from engine.fetch.pull_watch import PullWatch
from protocol.errors import ExecutionCancelled
from protocol.progress import StageProgress


def progress(watch: PullWatch) -> StageProgress:
    told = watch.progress()
    assert told is not None
    return told


def test_there_is_nothing_to_tell_before_it_begins() -> None:
    assert PullWatch().progress() is None


def test_what_an_earlier_pull_brought_does_not_count_for_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("engine.fetch.pull_watch.time.monotonic", lambda: now_s)
    watch = PullWatch()
    watch.tell("download", 600, 1000)
    assert (progress(watch).done, progress(watch).eta_s) == (600, None)
    now_s += 5.0
    watch.tell("download", 700, 1000)
    assert progress(watch).eta_s == 15.0
    watch.tell("check", 1, None)
    assert (progress(watch).stage, progress(watch).eta_s) == ("check", None)


def test_a_pause_ends_with_the_cancel() -> None:
    watch = PullWatch()
    watch.pause(0.0)
    watch.cancel()
    with pytest.raises(ExecutionCancelled):
        watch.pause(3600.0)
    with pytest.raises(ExecutionCancelled):
        watch.tell("download", 1, 2)
