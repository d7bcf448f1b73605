"""Runs by a script: planned, developed side by side, reviewed, merged; the same commits each time, killed or not."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from auton.budget import Budget
from auton.errors import AutonError, BudgetSpentError, ProviderError
from auton.journal import Answered, Merged
from auton.orchestrator import Orchestrator
from auton.provider import Question, Reply, ScriptedProvider, Usage
from auton.repository import Repository, git
from auton.sandbox import Ran
from auton.settings import parse_settings
from tests.auton.git_stage import ACCEPTED, TWO_TASKS, approved, call, line, planned, write_script, written
from tests.auton.run_stage import GOAL, Stage


def test_a_run_brings_tasks_together_on_a_branch_of_its_own(stage: Stage) -> None:
    before = git(stage.repository.folder, "status", "--porcelain"), stage.repository.head()
    ended = stage.run(stage.provider(TWO_TASKS))
    assert ended.accepted
    assert stage.files() == ["Makefile", "kernel/boot/start.s", "kernel/main.c", "kernel/uart.c"]
    log = git(stage.repository.folder, "log", "--first-parent", "--format=%s", "auton/one/joined").splitlines()
    assert log == ["Merge uart-001: Write kernel/uart.c", "Merge boot-001: Write kernel/boot/start.s", "Begin"]
    assert (git(stage.repository.folder, "status", "--porcelain"), stage.repository.head()) == before
    assert git(stage.repository.folder, "worktree", "list").count("\n") == 1


class KilledError(Exception):
    """Stands for SIGKILL: nothing after it is written."""


class DyingProvider:
    """Answers so often, then is no more."""

    def __init__(self, script: ScriptedProvider, answers: int) -> None:
        self._script = script
        self._left = answers

    def ask(self, question: Question) -> Reply:
        if self._left == 0:
            raise KilledError
        self._left -= 1
        return self._script.ask(question)


class CountingProvider(ScriptedProvider):
    asked = 0

    def ask(self, question: Question) -> Reply:
        self.asked += 1
        return super().ask(question)


@pytest.mark.parametrize("answers", range(len(TWO_TASKS)))
def test_a_run_that_dies_after_any_answer_goes_on_without_asking_again(
    repository: Repository, tmp_path: Path, answers: int
) -> None:
    other = tmp_path / "other"
    shutil.copytree(repository.folder, other)
    whole, cut = Stage(Repository(other), tmp_path), Stage(repository, tmp_path)
    whole.run(whole.provider(TWO_TASKS))
    script = write_script(tmp_path / "script.jsonl", TWO_TASKS)
    one_at_a_time = parse_settings("[agents]\ndeveloper_count = 1\n")
    with pytest.raises(KilledError):
        cut.run(DyingProvider(ScriptedProvider(script), answers), one_at_a_time)
    provider = CountingProvider(script)
    ended = cut.run(provider, one_at_a_time)
    assert provider.asked == len(TWO_TASKS) - answers
    assert ended == whole.run(whole.provider([]))  # ended already: nothing is asked
    commits = [git(one.repository.folder, "rev-parse", "auton/one/joined") for one in (whole, cut)]
    assert commits[0] == commits[1]
    merged = [[entry for entry in one.entries if isinstance(entry, Merged)] for one in (whole, cut)]
    assert merged[0] == merged[1]


def test_a_process_killed_while_it_writes_leaves_a_journal_to_go_on_from(stage: Stage, tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl", TWO_TASKS[:-1])
    program = f"""
import os, signal
from auton import journal
add = journal.Journal.add
def half(self, entry):
    add(self, entry)
    if len(self.entries) == 4:
        self._file.write(b'{{"kind":"answ'); self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
journal.Journal.add = half
from auton.main import main
main(["run", {GOAL!r}, "--run", "one", "--script", {str(script)!r}, "--repository", {str(stage.repository.folder)!r}])
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, cwd=tmp_path)  # noqa: S603
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(stage.entries) == 4
    assert stage.run(stage.provider(TWO_TASKS)).accepted


def test_a_change_is_sent_back_with_the_reason_and_comes_in_when_it_is_right(stage: Stage) -> None:
    lines = [
        planned(("boot-001", "kernel/*.s")),
        written("boot-001", "kernel/start.s", "nop\n"),
        line("reviewer", "boot-001", call("reject", reason="it must halt")),
        written("boot-001", "kernel/start.s", "hlt\n"),
        approved("boot-001"),
        ACCEPTED,
    ]
    assert stage.run(stage.provider(lines)).accepted
    content = git(stage.repository.folder, "show", "auton/one/joined:kernel/start.s")
    assert content == "hlt\n"
    questions = [entry.key for entry in stage.entries if isinstance(entry, Answered)]
    assert "developer/boot-001/2/0" in questions


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("key = 'sk-" + "a1B2" * 8 + "'\n", "a provider's key"),
        ("-----BEGIN " + "OPENSSH PRIVATE KEY-----\n", "a private key"),
        ("line\n" * 2001, "2001 lines"),
        ("\0binary", "binary"),
        ("<<<<<<< ours\n", "unfinished merge"),
    ],
)
def test_what_may_not_come_in_is_given_up_without_a_review(stage: Stage, content: str, said: str) -> None:
    lines = [planned(("boot-001", "kernel/**")), *[written("boot-001", "kernel/a.c", content)] * 2]
    ended = stage.run(stage.provider(lines))
    assert (ended.accepted, ended.remark) == (False, "nothing came in")
    assert said in stage.given_up()["boot-001"]


def test_tasks_that_clash_come_in_by_the_plans_order_and_the_later_is_given_up(stage: Stage) -> None:
    lines = [
        planned(("one", "kernel/main.c"), ("two", "kernel/main.c")),
        *(written(task, "kernel/main.c", f"int {task};\n") for task in ("one", "two")),
        approved("one"),
        approved("two"),
        ACCEPTED,
    ]
    assert stage.run(stage.provider(lines)).accepted
    assert git(stage.repository.folder, "show", "auton/one/joined:kernel/main.c") == "int one;\n"
    assert "does not merge" in stage.given_up()["two"]


def test_a_task_that_comes_after_another_sees_what_that_one_did(stage: Stage) -> None:
    lines = [
        planned(("one", "kernel/a.h"), ("two", "kernel/b.c"), after={"two": ["one"]}),
        written("one", "kernel/a.h", "#pragma once\n"),
        approved("one"),
        line("developer", "two", call("read_file", path="kernel/a.h")),
        written("two", "kernel/b.c", '#include "a.h"\n'),
        approved("two"),
        ACCEPTED,
    ]
    assert stage.run(stage.provider(lines)).accepted
    assert "kernel/b.c" in stage.files()


class FakeIsolation:
    """Builds what has no fault in it."""

    def run(self, command: tuple[str, ...], folder: Path, timeout_s: float, until: str = "") -> Ran:
        assert command == ("make", "ARCH=aarch64", "CROSS_COMPILE=aarch64-linux-gnu-")
        assert not (folder / ".git").exists()
        broken = [path.name for path in folder.rglob("*.c") if "fault" in path.read_text()]
        return Ran(2, f"{broken[0]}: error") if broken else Ran(0, "built")


BUILT = parse_settings(
    '[kernel]\narch = "aarch64"\n[validation]\nbuild_command = ["make", "ARCH={arch}", "CROSS_COMPILE={cross}"]\n'
)


def test_a_merge_that_breaks_the_build_is_taken_back(stage: Stage) -> None:
    lines = [
        planned(("one", "kernel/a.c"), ("two", "kernel/b.c")),
        written("one", "kernel/a.c", "fault\n"),
        approved("one"),
        written("two", "kernel/b.c", "int fine;\n"),
        approved("two"),
        ACCEPTED,
    ]
    assert stage.run(stage.provider(lines), BUILT, FakeIsolation()).accepted
    assert stage.files() == ["Makefile", "kernel/b.c", "kernel/main.c"]
    assert "a.c: error" in stage.given_up()["one"]


def test_a_fault_that_the_tester_reports_is_the_runs_end(stage: Stage) -> None:
    lines = [*TWO_TASKS[:-1], line("tester", "goal", call("report_fault", fault="it says nothing"))]
    ended = stage.run(stage.provider(lines))
    assert (ended.accepted, ended.remark) == (False, "it says nothing")


def test_mistakes_are_told_to_the_model_and_nothing_leaves_the_worktree(stage: Stage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    attempts = [
        call("write_file", path="../outside", content="x"),
        call("write_file", path=str(outside), content="x"),
        call("write_file", path=".git/config", content="x"),
        call("read_file", path="../../../../script.jsonl"),
        call("run_shell", command="true"),
        call("write_file", path="kernel/main.c"),
        call("replace_text", path="kernel/main.c", old="absent", new="x"),
    ]
    lines = [planned(("one", "**")), line("developer", "one", *attempts), written("one", "a.c", "int a;\n")]
    assert stage.run(stage.provider([*lines, approved("one"), ACCEPTED])).accepted
    assert not outside.exists()
    assert stage.files() == ["Makefile", "a.c", "kernel/main.c"]


def test_a_budget_ends_a_run_that_a_higher_one_lets_go_on(stage: Stage) -> None:
    with pytest.raises(BudgetSpentError, match="calls of 3 is spent"):
        stage.run(stage.provider(TWO_TASKS), parse_settings("[budget]\ncalls = 3\n"))
    assert stage.run(stage.provider(TWO_TASKS)).accepted


def test_joules_are_limited_only_where_they_are_known() -> None:
    budget = Budget(parse_settings("[budget]\njoules = 5.0\n").budget, lambda: 0.0)
    budget.add(Usage(joules=6.0))
    with pytest.raises(BudgetSpentError, match="joules of 5"):
        budget.check()
    with pytest.raises(BudgetSpentError, match="says no joules"):
        budget.add(Usage())


def test_a_script_that_is_too_short_says_which_answer_is_missing(stage: Stage) -> None:
    with pytest.raises(ProviderError, match="no answer 1 of reviewer for boot-001"):
        stage.run(stage.provider([planned(("boot-001", "kernel/boot/*")), *TWO_TASKS[1:3]]))


def test_a_run_has_one_goal(stage: Stage) -> None:
    stage.run(stage.provider([planned(("one", "a")), *[line("developer", "one", call("submit", summary=""))] * 2]))
    path = Orchestrator.journal_path(stage.repository, "one")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(one for one in lines if json.loads(one)["kind"] != "ended").replace(GOAL, "Other") + "\n")
    with pytest.raises(AutonError, match="another goal: Other"):
        stage.run(stage.provider([]))


def test_a_model_that_only_talks_is_reminded_and_then_given_up(stage: Stage) -> None:
    talk = line("manager", "goal", text="I would add a task.")
    with pytest.raises(AutonError, match="made no plan"):
        stage.run(stage.provider([talk] * 10))
    assert len([entry for entry in stage.entries if isinstance(entry, Answered)]) == 4
