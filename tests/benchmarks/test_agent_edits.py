"""Edits that agents are counted by: each has one right text, and only that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auton.provider import ScriptedProvider
from auton.settings import Settings
from benchmarks.agent_edits import Outcome, attempts
from benchmarks.support.small_edits import EDITS, FILES, Edit
from tests.auton.git_stage import approved, call, line, write_script


def test_every_edit_has_one_place_and_changes_something() -> None:
    for edit in EDITS:
        assert (edit.path in FILES) == bool(edit.old), edit.name
        assert not edit.old or FILES[edit.path].count(edit.old) == 1, edit.name
        assert edit.path in edit.goal, edit.name
        assert edit.expected() != FILES, edit.name
    assert len({edit.name for edit in EDITS}) == len(EDITS) == 20


def done(edit: Edit, content: str) -> list[dict[str, Any]]:
    write = call("write_file", path=edit.path, content=content)
    return [line("developer", edit.name, write, call("submit", summary=edit.goal)), approved(edit.name)]


def test_only_the_text_that_is_wanted_is_right(tmp_path: Path) -> None:
    right, spaced, wrong = EDITS[0], EDITS[1], EDITS[2]
    script = [
        *done(right, right.expected()[right.path]),
        *done(spaced, spaced.expected()[spaced.path].replace(";\n", "; \n\n")),
        *done(wrong, "int main(void);\n"),
    ]
    provider = ScriptedProvider(write_script(tmp_path / "script.jsonl", script))
    shown: list[tuple[str, Outcome]] = []
    attempts((right, spaced, wrong), Settings(), provider, lambda edit, outcome: shown.append((edit.name, outcome)))
    assert [(name, one.right, one.calls) for name, one in shown] == [
        ("greeting", True, 2),
        ("status", True, 2),
        ("flush", False, 2),
    ]
    assert all(one.joules is None and "submit" in one.answers[0] for _, one in shown)
