"""What the command line costs before it does anything, and what it says about itself."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from engine.identity.build import current_build
from engine_ctl.main import COMMANDS
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import answers_in_full

WARM = ("anyio", "msgpack", "pydantic", "rich", "tempfile", "trio")
"""What a run by an engine that is there does without."""
HEAVY = ("anyio", "huggingface_hub", "llguidance", "msgpack", "numpy", "pydantic", "rich", "tokenizers", "trio")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str) -> None:
    program = f"""
import sys
from engine_ctl.main import main
try:
    main(["{command}", "--help"])
except SystemExit as end:
    assert end.code == 0
print(sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)
"""
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stderr == "[]\n"


def test_the_way_to_a_running_engine_loads_no_event_loop_and_no_tables() -> None:
    program = (
        "import sys, engine_ctl.connection, engine_ctl.execution; print({'anyio', 'rich', 'trio'} & set(sys.modules))"
    )
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout == "set()\n"


def test_the_list_of_commands_says_of_each_what_it_says_itself() -> None:
    own = {name: import_module(f"engine_ctl.commands.{name}").command.help for name in COMMANDS}
    first = {name: " ".join(text.split("\n\n")[0].split()) for name, text in own.items()}
    assert {name: first[name].startswith(told) for name, told in COMMANDS.items()} == dict.fromkeys(COMMANDS, True)


def test_the_list_of_commands_imports_none_of_them() -> None:
    program = "import sys; from engine_ctl.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += "print([name for name in sys.modules if name.startswith('engine_ctl.commands.')], file=sys.stderr)"
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stderr == "[]\n"


def test_an_answer_of_a_running_engine_waits_for_no_schema(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers_in_full)
    program = f"""
import sys
from engine_ctl.main import main
try:
    main(["run", "--socket", {str(socket_path)!r}, "tiny", "Why?"])
except SystemExit as end:
    assert end.code == 0
print(sorted(set(sys.modules) & set({WARM!r})), file=sys.stderr)
"""
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stderr.splitlines()[-1] == "[]"


def test_help_lists_every_command_once_and_the_exit_codes() -> None:
    shown = engine_ctl("--help").stdout
    assert {command: shown.count(f"\n  {command} ") for command in COMMANDS} == dict.fromkeys(COMMANDS, 1)
    assert "Exit codes:" in shown


def test_version_tells_builds_apart() -> None:
    told, build, arithmetic = engine_ctl("--version").stdout.splitlines()
    assert told == f"engine-ctl, version {version('weos-engine')}"
    assert build == f"build {current_build().id} ({current_build().compiler}, {current_build().flags})"
    assert arithmetic == f"arithmetic {current_build().arithmetic}"


def test_version_of_an_installation_without_its_compiled_part() -> None:
    program = """
import sys
sys.modules["engine._core"] = None
from engine_ctl.main import main
main(["--version"])
"""
    process = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "build unknown: " in process.stdout


def test_an_unknown_command_is_wrong_usage() -> None:
    assert engine_ctl("dance").exit_code == 2
