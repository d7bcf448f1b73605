"""Answers that no well-behaved model gives: each is told by name, and none ends a run without a word."""

from __future__ import annotations

from auton.journal import Answered
from tests.auton.git_stage import ACCEPTED, approved, call, line, planned, written
from tests.auton.run_stage import Stage

# --- decisions ------------------------------------------------------------------------------------------------------


def test_a_change_that_is_rejected_without_a_reason_does_not_come_in(stage: Stage) -> None:
    lines = [
        planned(("one", "kernel/*.s")),
        written("one", "kernel/start.s", "nop\n"),
        line("reviewer", "one", call("reject", reason=""), call("reject", reason="\n"), call("reject", reason="halt")),
        written("one", "kernel/start.s", "hlt\n"),
        *[line("reviewer", "one", call("reject", reason=""))] * 40,
    ]
    assert not stage.run(stage.provider(lines)).accepted
    assert stage.given_up() == {"one": "the reviewer did not decide"}
    assert stage.files() == ["Makefile", "kernel/main.c"]


def test_names_of_the_runs_own_are_no_tasks(stage: Stage) -> None:
    lines = [
        planned(("joined", "**"), ("goal", "**"), ("one", "**")),
        written("one", "a.c", "int a;\n"),
        approved("one"),
        ACCEPTED,
    ]
    assert stage.run(stage.provider(lines)).accepted
    assert stage.files() == ["Makefile", "a.c", "kernel/main.c"]


def test_a_change_that_is_too_long_to_be_read_is_not_reviewed_in_part(stage: Stage) -> None:
    long = "/* " + "x" * 70_000 + " */\nint hidden;\n"
    lines = [planned(("one", "**")), *[written("one", "a.c", long)] * 2]
    assert not stage.run(stage.provider(lines)).accepted
    assert "characters to read, and 65,536 may be" in stage.given_up()["one"]
    assert not any(entry.key.startswith("reviewer") for entry in stage.entries if isinstance(entry, Answered))
