"""A hostile agent: each change that may not come in is stopped, and told by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from auton.budget import Budget
from auton.credentials import credentials_in
from auton.diff_check import faults_of
from auton.orchestrator import Orchestrator
from auton.provider import ScriptedProvider, ToolCall
from auton.repository import Repository, Worktree, commit_all, git
from auton.sandbox import Ran, Sandbox
from auton.settings import parse_settings
from auton.toolbox import Toolbox
from auton.validation import Isolation
from tests.auton.git_stage import ACCEPTED, approved, new_repository, planned, write_script, written

KEY = "sk-" + "a1B2" * 8
OF_A_VARIABLE = "0123-of-this-process"
VARIABLES = {
    "SOMEBODY_API_KEY": OF_A_VARIABLE,
    "X_PASSWORD": "hunter2-hunter2",
    "AWS_SECRET_ACCESS_KEY": "wJalr/XUtn",
}
Plant = Callable[[Path], object]


@pytest.fixture
def worktree(repository: Repository) -> Worktree:
    return repository.worktree("one", "boot-001", repository.head())


# --- what a developer's tools refuse to write ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../outside", "no path in the repository"),
        ("/etc/passwd", "no path in the repository"),
        ("kernel/../../outside", "no path in the repository"),
        (".git/hooks/pre-commit", "Git's own"),
        ("kernel/.GIT/config", "Git's own"),
        ("kernel/door", "is a link"),
        ("kernel/door/outside", "is a link"),
    ],
)
def test_no_tool_writes_outside_the_worktree(worktree: Worktree, tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (worktree.folder / "kernel" / "door").symlink_to(tmp_path / "elsewhere")
    told = _write(Toolbox("developer", worktree, allowed=("**",)), path)
    assert told.startswith("error: ")
    assert said in told
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_no_tool_writes_what_is_not_the_tasks(worktree: Worktree) -> None:
    told = _write(Toolbox("developer", worktree, allowed=("kernel/boot/*",)), "Makefile")
    assert told == "error: Makefile is not among the task's paths: kernel/boot/*"


def _write(toolbox: Toolbox, path: str) -> str:
    arguments = json.dumps({"path": path, "content": "x"})
    return toolbox.use(ToolCall(call_id="1", name="write_file", arguments=arguments))


# --- what is not committed on, by whatever way it came into the worktree ----------------------------------------------


def _holding(content: str) -> Plant:
    return lambda folder: (folder / "kernel/a.h").write_text(content)


def _named(name: str) -> Plant:
    return lambda folder: (folder / "kernel" / name).write_text("x")


def _submodule(folder: Path) -> None:
    new_repository(folder / "kernel" / "module")


def _many(folder: Path) -> None:
    for number in range(51):
        (folder / "kernel" / f"{number}.c").write_text("int x;\n")


def _key_of_a_folder(folder: Path) -> None:
    (folder / "kernel" / KEY).mkdir()
    (folder / "kernel" / KEY / "a.h").write_text("x")


PIECES = f'"{KEY[:12]}" \\\n    "{KEY[12:]}"'
PLANTS: dict[str, tuple[Plant, str]] = {
    "another task's path": (lambda folder: (folder / "Makefile").write_text("all:\n"), "not among the task's paths"),
    "binary": (lambda folder: (folder / "kernel/a.o").write_bytes(b"\x7fELF\0\1"), "kernel/a.o is binary"),
    "link": (lambda folder: (folder / "kernel/a").symlink_to("/etc/passwd"), "kernel/a is a link"),
    "submodule": (_submodule, "kernel/module is a link or a submodule"),
    "attributes": (lambda folder: (folder / "kernel/.gitattributes").write_text("*.c -text\n"), "what Git itself does"),
    "key": (_holding(f"{KEY}\n"), "it holds a provider's key"),
    "key of AWS": (_holding("AKIA" + "AB12" * 4), "a key of AWS"),
    "token of GitHub": (_holding("ghp_" + "aB12" * 9), "a token of GitHub"),
    "key behind a form feed": (_holding(f"x\f{KEY}\n"), "a provider's key"),
    "key behind two signs": (_holding(f"++ {KEY}\n"), "a provider's key"),
    "key behind a letter": (_holding(f"x{KEY}\n"), "a provider's key"),
    "key behind a line": (_holding(f"KEY_{KEY}\n"), "a provider's key"),
    "key in two lines": (_holding(f"{KEY[:12]}\n{KEY[12:]}"), "provider's key"),
    "key in two pieces": (_holding(PIECES), "a provider's key"),
    "key around a return": (_holding(KEY.replace("B", "B\r")), "provider's key"),
    "key around no space": (_holding(KEY.replace("B", "B\u200b")), "provider's"),
    "key in a file's name": (_named(f"{KEY}.h"), "a path holds a provider's key"),
    "key in a folder's name": (_key_of_a_folder, "a path holds a provider's key"),
    "fine token of GitHub": (_holding("github_pat_" + "aB12" * 9), "of GitHub"),
    "token of Hugging Face": (_holding("hf_" + "aBcD" * 9), "of Hugging Face"),
    "key of Google": (_holding("AIza" + "Sy-_1" * 7), "a key of Google"),
    "PGP": (_holding("-----BEGIN PGP PRIVATE " + "KEY BLOCK-----"), "private key"),
    "PuTTY": (_holding("PuTTY-User-Key-" + "File-2: x"), "a private key"),
    "password": (_holding("hunter2-hunter2"), "the value of X_PASSWORD"),
    "variable in two lines": (_holding("hunter2\n-hunter2"), "of X_PASSWORD"),
    "access key": (_holding("wJalr/XUtn"), "value of AWS_SECRET_ACCESS_KEY"),
    "binary late": (_holding("x" * 8100 + "\0\1ELF"), "kernel/a.h is binary"),
    "name of no UTF-8": (_named("\udcff.c"), r"kernel/\udcff.c is no name of"),
    "name of two lines": (_named("a\nb.c"), r"kernel/a\nb.c is no name of plain text"),
    "name that turns": (_named("a\u202ec.exe"), "is no name of plain text"),
    "variable": (_holding(OF_A_VARIABLE), "the value of SOMEBODY_API_KEY"),
    "lines": (_holding("x\n" * 2001), "2001 lines are changed, and 2000 may"),
    "bytes": (_holding("x" * 262_145), "262145 bytes, and 262144 may be"),
    "files": (_many, "51 files are changed, and 50 may be"),
    "unfinished merge": (_holding(">>>>>>> theirs\n"), "an unfinished merge"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_commit_is_stopped_by_name(worktree: Worktree, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setitem(os.environ, variable, value)
    plant, said = PLANTS[name]
    plant(worktree.folder)
    commit = commit_all(worktree, "boot-001: harmless", 1_700_000_000)
    assert commit is not None
    (fault,) = faults_of(worktree, commit, ("kernel/**",))
    assert said in fault


def test_a_large_file_is_stopped_whatever_its_name_is(worktree: Worktree) -> None:
    (worktree.folder / "kernel" / "\udcff.c").write_text("x" * 262_145)
    commit = commit_all(worktree, "boot-001: harmless", 1_700_000_000)
    assert commit is not None
    assert faults_of(worktree, commit, ("kernel/**",))[1:] == [r"kernel/\udcff.c has 262145 bytes, and 262144 may be"]


def test_a_key_in_the_summary_is_stopped(worktree: Worktree) -> None:
    (worktree.folder / "kernel" / "a.h").write_text("int a;\n")
    commit = commit_all(worktree, f"boot-001: use {KEY}", 1_700_000_000)
    assert commit is not None
    assert faults_of(worktree, commit, ("kernel/**",)) == ["its summary holds a provider's key"]


def test_words_are_no_keys() -> None:
    words = "task-partition-table-and-disk-partition-entries AKIA hf_hub_download_all_files_of_a_repository"
    assert credentials_in(words + "\n- task-\n- force the evaluation of what has been there\n") == []


def test_what_is_the_tasks_comes_in(worktree: Worktree) -> None:
    (worktree.folder / "kernel" / "boot.s").write_text("nop\n" * 2000)
    commit = commit_all(worktree, "boot-001: harmless", 1_700_000_000)
    assert commit is not None
    assert faults_of(worktree, commit, ("kernel/**",)) == []


# --- what never ends -------------------------------------------------------------------------------------------------


class EndlessIsolation:
    """Runs whatever a word is in until its time is over."""

    def __init__(self, word: str) -> None:
        self._word = word
        self.allowed: list[float] = []

    def run(self, command: tuple[str, ...], folder: Path, timeout_s: float, until: str = "") -> Ran:
        if self._word not in command[0]:
            return Ran(0, "fine")
        self.allowed.append(timeout_s)
        return Ran(None, "still at it")


SETTINGS = """
[validation]
build_command = ["sh", "build.sh"]
kernel = "kernel.elf"
serial_expect = "hello"
build_timeout = 0.5
test_timeout = 0.7
"""


def run_to_its_end(repository: Repository, folder: Path, isolation: Isolation, content: str) -> tuple[bool, str, str]:
    """Whether what a developer wrote into ``build.sh`` is accepted, with the last word and all that was noted."""
    lines = [planned(("one", "build.sh")), written("one", "build.sh", content), approved("one"), ACCEPTED]
    settings = parse_settings(SETTINGS)
    noted: list[str] = []
    provider = ScriptedProvider(write_script(folder / "script.jsonl", lines))
    budget = Budget(settings.budget, lambda: 0.0)
    orchestrator = Orchestrator(repository, "one", settings, provider, budget, isolation, noted.append)
    ended = trio.run(orchestrator.run, "A kernel", 1_700_000_000)
    return ended.accepted, ended.remark, "\n".join(noted)


def test_a_build_that_never_ends_is_taken_back(repository: Repository, tmp_path: Path) -> None:
    isolation = EndlessIsolation("sh")
    accepted, _, noted = run_to_its_end(repository, tmp_path, isolation, "true\n")
    assert (accepted, "one: given up: with it, build took too long" in noted) == (False, True)
    assert set(isolation.allowed) == {0.5}


def test_a_machine_that_never_says_what_is_awaited_is_not_accepted(repository: Repository, tmp_path: Path) -> None:
    isolation = EndlessIsolation("qemu-system-x86_64")
    assert run_to_its_end(repository, tmp_path, isolation, "true\n")[:2] == (False, "boot took too long\nstill at it")
    assert isolation.allowed == [0.7]


def test_endless_builds_and_machines_are_ended(
    repository: Repository, tmp_path: Path, isolation: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in isolation itself: neither heeds a request to end, and both leave children behind."""
    stubborn = "trap '' TERM INT HUP\n(while true; do sleep 1; done) &\nwhile true; do sleep 1; done\n"
    _, _, noted = run_to_its_end(repository, tmp_path, isolation, stubborn)
    assert "one: given up: with it, build took too long" in noted
    monkeypatch.setattr("auton.validation.boot_command", lambda *_: ("sh", "-c", stubborn))
    other = Repository(new_repository(tmp_path / "other"))
    accepted, remark, _ = run_to_its_end(other, tmp_path, isolation, "true\n")
    assert (accepted, remark) == (False, "boot took too long")
    assert git(other.folder, "status", "--porcelain") == ""
