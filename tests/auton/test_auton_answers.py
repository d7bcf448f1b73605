"""Answers that no well-behaved model gives: each is told by name, and none ends a run without a word."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from auton.errors import AutonError, ProviderError
from auton.journal import Answered
from auton.provider import MOST_CALLS, LiteLlmProvider, Question, Reply, ScriptedProvider, ToolCall, Usage
from auton.repository import Repository, Worktree
from auton.settings import Role
from auton.toolbox import Toolbox
from tests.auton.git_stage import ACCEPTED, approved, call, line, planned, written
from tests.auton.run_stage import Stage

DEEP = "[" * 200_000
HALF = "\\ud800"
"""Half of a character, as JSON writes it."""


@pytest.fixture
def worktree(repository: Repository) -> Worktree:
    return repository.worktree("one", "boot-001", repository.head())


def use(worktree: Worktree, role: Role, name: str, arguments: str) -> str:
    """The text that a role is told of a call."""
    toolbox = Toolbox(role, worktree, allowed=("**",))
    told = toolbox.use(ToolCall(call_id="1", name=name, arguments=arguments))
    assert toolbox.decision is None or not told.startswith("error")
    return told


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


def test_a_name_that_git_refuses_is_given_up_and_not_the_run(stage: Stage) -> None:
    lines = [planned(("one", "**"), ("two", "**")), *[written("one", "a/git~1", "x\n")] * 2]
    lines += [written("two", "b.c", "int b;\n"), approved("two"), ACCEPTED]
    assert stage.run(stage.provider(lines)).accepted
    assert "it cannot be committed" in stage.given_up()["one"]


# --- calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "name", "arguments", "said"),
    [
        ("developer", "list_files", DEEP, "nested too deeply"),
        ("manager", "add_task", '{"a":' * 200_000, "nested too deeply"),
        ("manager", "add_task", '{"task": ' + "9" * 10_000 + "}", "error: "),
        ("developer", "submit", '{"summary": "a\\u0000b"}', "one line of plain text"),
        ("developer", "submit", '{"summary": "a\\nb"}', "one line of plain text"),
        ("developer", "submit", '{"summary": "a\\u001b[2Jb"}', "one line of plain text"),
        ("developer", "submit", f'{{"summary": "{HALF}"}}', "half of a character"),
        ("developer", "submit", json.dumps({"summary": "x" * 501}), "at most 500 characters"),
        ("developer", "write_file", f'{{"path": "k/\\udcff.c", "content": "{HALF}"}}', "half of a character"),
        ("developer", "write_file", json.dumps({"path": "d/" * 2000 + "x", "content": ""}), "at most 1024 bytes"),
        ("developer", "write_file", json.dumps({"path": "d/" * 64 + "x", "content": ""}), "at most 64 parts"),
        ("developer", "write_file", json.dumps({"path": "a\u202ec.exe", "content": ""}), "plain text"),
        ("tester", "report_fault", '{"fault": " "}', "say what is wrong"),
        ("manager", "add_task", json.dumps({"task": "a", "description": "", "paths": ["x"] * 33}), "at most 32"),
        ("manager", "add_task", json.dumps({"task": "a", "description": "", "paths": ["x" * 201]}), "at most 200"),
    ],
)
def test_a_call_that_cannot_be_made_is_told(
    worktree: Worktree, role: Role, name: str, arguments: str, said: str
) -> None:
    told = use(worktree, role, name, arguments)
    assert (told[:7], said in told) == ("error: ", True), told


def test_a_file_is_not_emptied_by_what_cannot_be_written(worktree: Worktree) -> None:
    before = (worktree.folder / "Makefile").read_bytes()
    assert "half" in use(worktree, "developer", "write_file", f'{{"path": "Makefile", "content": "{HALF}"}}')
    with pytest.raises(UnicodeEncodeError):
        Toolbox("developer", worktree, allowed=("**",))._write("Makefile", "\ud800")
    assert (worktree.folder / "Makefile").read_bytes() == before


def test_what_ends_a_line_stays_as_it_is(worktree: Worktree) -> None:
    (worktree.folder / "a.c").write_bytes(b"int a;\r\nint b;\r\n")
    use(worktree, "developer", "replace_text", json.dumps({"path": "a.c", "old": "int b", "new": "int c"}))
    assert (worktree.folder / "a.c").read_bytes() == b"int a;\r\nint c;\r\n"


@pytest.mark.parametrize("path", ["a", "a/x", "b"])
def test_links_that_lead_to_each_other_are_told(worktree: Worktree, path: str) -> None:
    (worktree.folder / "a").symlink_to("b")
    (worktree.folder / "b").symlink_to("a")
    assert use(worktree, "developer", "read_file", json.dumps({"path": path})) == f"error: {path!r} is a link"


def test_names_that_are_not_utf8_are_listed_as_far_as_they_can_be(worktree: Worktree) -> None:
    (worktree.folder / "\udcff.c").write_text("")
    assert "\ufffd.c" in use(worktree, "developer", "list_files", "{}").splitlines()


# --- replies --------------------------------------------------------------------------------------------------------


class ListeningProvider:
    """Keeps what is asked; ``other`` answers, or is the answer."""

    def __init__(self, other: ScriptedProvider | Reply) -> None:
        self._other = other
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        return self._other if isinstance(self._other, Reply) else self._other.ask(question)


def test_half_of_a_character_is_kept_as_a_sign_for_it(stage: Stage) -> None:
    with pytest.raises(AutonError, match="made no plan"):
        stage.run(ListeningProvider(Reply(text="\ud800")))
    assert [entry.reply.text for entry in stage.entries if isinstance(entry, Answered)] == ["\ufffd"] * 4


def test_calls_beyond_the_most_are_not_made_and_that_is_told(stage: Stage) -> None:
    lines = [line("manager", "goal", *[call("list_files")] * 100), line("manager", "goal", call("finish_plan"))]
    provider = ListeningProvider(stage.provider(lines))
    with pytest.raises(AutonError, match="made no plan"):
        stage.run(provider)
    messages = provider.asked[1].messages
    assert [one["role"] for one in messages].count("tool") == MOST_CALLS
    assert messages[-1]["content"].startswith("36 calls more were not made")
    with pytest.raises(ValidationError):
        Reply(calls=(ToolCall(call_id="1", name="x", arguments=""),) * (MOST_CALLS + 1))


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -1}, {"completion_tokens": -5}, {"joules": float("nan")}, {"cost": float("inf")}]
)
def test_usage_is_a_number_that_can_be_added_up(usage: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate(usage)


def _answer(message: Any, usage: Any) -> SimpleNamespace:
    return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage=usage, _hidden_params={})


class _Tokens(SimpleNamespace):
    def model_dump(self) -> dict[str, Any]:
        return vars(self)


FULL = _Tokens(prompt_tokens=1, completion_tokens=1)
TEXT = SimpleNamespace(content="x", tool_calls=None)
BY_TABLE = SimpleNamespace(id="1", function=SimpleNamespace(name="f", arguments={"a": 1}))


@pytest.mark.parametrize(
    "answer",
    [
        SimpleNamespace(choices=[], usage=FULL, _hidden_params={}),
        _answer(TEXT, None),
        _answer(TEXT, _Tokens(prompt_tokens=-1, completion_tokens=1)),
        _answer(SimpleNamespace(content="", tool_calls=[BY_TABLE]), FULL),
        None,
    ],
)
def test_an_answer_that_cannot_be_read_is_the_providers_fault(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("litellm")
    fake.completion = lambda **_: answer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm", fake)
    asked = {
        "role": "developer",
        "task": "t",
        "attempt": 1,
        "turn": 0,
        "model": "openai/x",
        "messages": (),
        "tools": (),
    }
    question = Question.model_validate({**asked, "max_tokens": 1, "temperature": 0})
    with pytest.raises(ProviderError, match="openai/x: "):
        LiteLlmProvider().ask(question)


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        '{"role": "developer", "task": "t", "calls": {"a": 1}}',
        '{"role": ["x"], "task": "t"}',
        '{"role": "developer", "task": "t", "usage": {"joules": NaN}}',
        '{"role": "developer", "task": ' + "9" * 10_000 + "}",
        "\udcff",
    ],
)
def test_a_line_of_a_script_that_is_no_answer_is_refused(content: str, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ProviderError, match=r"script\.jsonl"):
        ScriptedProvider(script)
