"""The commands, and the settings that they go by."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auton.errors import AutonError
from auton.journal import Answered, Journal
from auton.main import main
from auton.provider import Reply, Usage
from auton.settings import Settings, load_settings, parse_settings
from tests.auton.git_stage import TWO_TASKS, approved, call, line, new_repository, planned, write_script, written

DOCUMENT = """# of the document
[llm]
model = "anthropic/claude-opus-4-6"
max_tokens = 16384
temperature = 0.0

[agents]
developer_count = 4
reviewer_count = 1

[agents.models]
manager = "anthropic/claude-opus-4-6"      # High-capability for planning
tester = "ollama/llama3.1"                 # Free local model

[kernel]
arch = "x86_64"  # x86_64, aarch64, riscv64

[validation]
build_timeout = 120
test_timeout = 60
composition_checks = true

[slm]
model_size = "tiny_10M"
backend = "rule_engine"
quantization = "int4"

[slm.training]
batch_size = 32
learning_rate = 1e-4
max_steps = 10000
"""


def auton(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="auton")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_documents_file_is_the_default_but_for_its_models() -> None:
    settings = parse_settings(DOCUMENT)
    assert settings.model_of("tester") == "ollama/llama3.1"
    assert settings.model_of("developer") == settings.llm.model
    models = settings.agents.model_copy(update={"models": Settings().agents.models})
    assert settings.model_copy(update={"agents": models}) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[llm]\napi_key = "sk-1"\n', "secrets come from the environment"),
        ("[kernel]\narch = 'mips'\n", "kernel.arch"),
        ("[agents]\ndevelopers = 3\n", "agents.developers"),
        ("[llm\n", "line 1"),
        ("a = " + "[" * 20_000, "nested too deeply"),
        ("a = " + "9" * 10_000, "digits"),
        ("[budget]\njoules = nan\n", "budget.joules"),
        ("[budget]\nminutes = inf\n", "budget.minutes"),
        ("[validation]\nbuild_timeout = 1e308\n", "validation.build_timeout"),
    ],
)
def test_a_file_that_is_not_valid_is_refused(text: str, said: str) -> None:
    with pytest.raises(AutonError, match=said):
        parse_settings(text)


def test_a_value_is_set_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "auton.toml"
    path.write_text(DOCUMENT)
    assert auton("config", "set", "kernel.arch", "aarch64", "--config", path).exit_code == 0
    assert path.read_text() == DOCUMENT.replace('arch = "x86_64"', 'arch = "aarch64"')
    assert auton("config", "get", "kernel.arch", "--config", path).stdout == "aarch64\n"
    assert auton("config", "set", "budget.calls", "7", "--config", path).exit_code == 0
    assert load_settings(path).budget.calls == 7
    refused = auton("config", "set", "kernel.arch", "mips", "--config", path)
    assert (refused.exit_code, "kernel.arch" in refused.stderr) == (1, True)
    assert load_settings(path).kernel.arch == "aarch64"
    assert (
        auton("config", "get", "kernel.speed", "--config", path).stderr == "error: there is no setting kernel.speed\n"
    )


def test_a_run_and_what_its_agents_said(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repository")
    script = write_script(tmp_path / "script.jsonl", TWO_TASKS)
    places = ("--repository", repository, "--config", tmp_path / "auton.toml")
    ran = auton("run", "Say hello", "--run", "one", "--script", script, *places)
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout.startswith("accepted: on branch auton/one/joined")
    assert "boot-001: merged as" in ran.stderr
    told = auton("debug", "--agent", "developer", "--task", "boot-001", "--run", "one", "--repository", repository)
    assert 'read_file({"path": "kernel/main.c"})' in told.stdout
    assert "attempt 1, turn 1: anthropic/claude-opus-4-6, 0 + 0 tokens, joules unknown" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("merged as ")
    absent = auton("debug", "--agent", "tester", "--task", "boot-001", "--run", "one", "--repository", repository)
    assert (absent.exit_code, absent.stdout) == (1, "")


def test_the_same_answers_at_the_same_date_write_the_same_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write_script(tmp_path / "script.jsonl", TWO_TASKS)
    config = tmp_path / "auton.toml"
    config.write_text("[agents]\ndeveloper_count = 1\n")
    journals = []
    for name, date in (("first", "1700000000"), ("second", "1700000000"), ("third", "yesterday")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        repository = new_repository(tmp_path / name)
        places = ("--repository", repository, "--config", config)
        ran = auton("run", "Say hello", "--run", "one", "--script", script, *places)
        journals.append(repository / ".git" / "auton" / "one" / "journal.jsonl")
    assert journals[0].read_bytes() == journals[1].read_bytes()
    assert (ran.exit_code, "SOURCE_DATE_EPOCH is 'yesterday'" in ran.stderr) == (1, True)


def test_what_agents_say_does_not_steer_a_terminal(tmp_path: Path) -> None:
    """Nor does it look like a line of ours."""
    steering = "\x1b[2J\x1b]0;x\x07\u202ecod\naccepted: all is well"
    lines = [
        planned(("boot-001", "kernel/*")),
        line("developer", "boot-001", call("list_files"), text=steering),
        written("boot-001", "kernel/a.c", "int a;\n"),
        line("reviewer", "boot-001", call("reject", reason=steering)),
        written("boot-001", "kernel/b.c", "int b;\n"),
        approved("boot-001"),
        line("tester", "goal", call("report_fault", fault=steering)),
    ]
    repository = new_repository(tmp_path / "repository")
    script = write_script(tmp_path / "script.jsonl", lines)
    places = ("--run", "one", "--repository", repository)
    ran = auton("run", "Say hello", "--script", script, "--config", tmp_path / "auton.toml", *places)
    told = auton("debug", "--agent", "developer", "--task", "boot-001", *places)
    for printed in (ran.output, told.output):
        assert "\\x1b[2J\\x1b]0;x\\x07\\u202ecod" in printed
        assert not {"\x1b", "\x07", "\u202e"} & set(printed)
        assert not any(one.startswith("accepted") for one in printed.splitlines())


def test_looking_at_a_run_leaves_its_journal_as_it_is(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repository")
    path = repository / ".git" / "auton" / "one" / "journal.jsonl"
    places = ("--run", "one", "--repository", repository)
    with Journal(path) as journal:
        usage = Usage(prompt_tokens=5, completion_tokens=2)
        journal.add(Answered(key="manager/goal/1/0", model="x", digest="", reply=Reply(text="a plan", usage=usage)))
        with path.open("ab") as file:
            file.write(b'{"kind": "answ')
        before = path.read_bytes()
        told = auton("debug", "--agent", "manager", "--task", "goal", *places)
        assert (told.exit_code, "a plan" in told.stdout) == (0, True)
        second = auton("run", "Say hello", "--script", write_script(tmp_path / "script.jsonl", []), *places)
        assert (second.exit_code, "error: run one is under way already" in second.stderr) == (1, True)
        assert path.read_bytes() == before


@pytest.mark.usefixtures("isolation")
def test_what_is_committed_is_built_in_isolation(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repository")
    config = tmp_path / "auton.toml"
    config.write_text('[validation]\nbuild_command = ["sh", "-c", "grep -q hello kernel/main.c && echo {arch}"]\n')
    places = ("--repository", repository, "--config", config)
    (repository / "kernel" / "main.c").write_text("not committed")
    built = auton("validate", "--composition", *places)
    assert (built.exit_code, built.stdout.count("build ended with 0")) == (0, 3), built.output
    assert "aarch64: build ended with 0\n  aarch64\n" in built.stdout
    missing = auton("validate", "--test", *places)
    assert (missing.exit_code, "no build_command, test_command or kernel" in missing.stderr) == (1, True)
    endless = auton("validate", "--build", "--timeout", "inf", *places)
    assert (endless.exit_code, "error: --timeout" in endless.stderr) == (1, True)
    nothing = auton("validate", *places)
    assert (nothing.exit_code, "--build" in nothing.stderr) == (1, True)
