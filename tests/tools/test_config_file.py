"""The configuration file: what it sets, what counts before it, and what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine_ctl.config_place import ALIASES_VARIABLE, CONFIG_VARIABLE
from engine_ctl.settings import SETTINGS
from protocol.requests import Plan, Run
from tests.test_layers import ROOT
from tests.tools.command_line import PROGRAM
from tests.tools.conftest import StartEngine
from tests.tools.executions import answers_in_full

GOOD = """
memory_mb = 1234
energy_psys = true
cpu_features = ["avx2", "avx_vnni"]
tdp_watts = 65

[aliases]
Small = "tiny"

[run]
temperature = 0.5
quiet = true
stop = ["END"]
raw = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def run(file: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    return subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, *arguments],
        env={**own, "ENGINE_CONFIG": str(file), **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def shown(file: Path, **environment: str) -> dict[str, tuple[str, Any]]:
    settings = json.loads(run(file, "config", "show", "--json", **environment).stdout)["settings"]
    return {each["name"]: (each["from"], each["value"]) for each in settings}


def test_every_value_says_where_it_comes_from(file: Path) -> None:
    file.write_text(GOOD)
    settings = shown(file, ENGINE_MEMORY_MB="99", ENGINE_WEIGHTS_CACHE_MB="7")
    assert settings["memory_mb"] == ("environment", "99")
    assert settings["weights_cache_mb"] == ("environment", "7")
    assert settings["energy_psys"] == ("file", "1")
    assert settings["cpu_features"] == ("file", "avx2,avx_vnni")
    assert settings["tdp_watts"] == ("file", "65")
    assert settings["prefix_cache_mb"] == ("default", None)


def test_flags_of_commands_are_shown_with_the_settings(file: Path) -> None:
    file.write_text(GOOD)
    told = json.loads(run(file, "config", "show", "--json").stdout)["flags"]
    assert told == {"run.temperature": 0.5, "run.quiet": True, "run.stop": ["END"], "run.raw": True}
    lines = run(file, "config", "show").stdout.splitlines()
    assert ["run.temperature", "file", "0.5"] in [line.split() for line in lines]


def test_without_a_file_everything_is_a_default(file: Path) -> None:
    assert {each for each, _ in shown(file).values()} == {"default"}
    assert run(file, "config", "check").returncode == 0


def test_flags_and_aliases_of_the_file_count_where_none_is_given(
    file: Path, start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    file.write_text(f'socket = "{socket_path}"\n{GOOD}')
    quiet = run(file, "run", "small", "Once")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    run(file, "run", "small", "Once", "--temperature", "0.7")
    requests = [message.request for message in engine.requests(Run)]
    assert [each.model for each in requests] == ["tiny", "tiny"]
    assert [each.execution.sampling.temperature for each in requests] == [0.5, 0.7]
    assert requests[0].execution.stop.strings == ("END",)
    assert requests[0].prompt == "Once"


def test_a_plan_has_the_flags_that_the_file_gives_to_run(
    file: Path, start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    file.write_text(f'socket = "{socket_path}"\n{GOOD}[plan]\ntop_k = 7\n')
    run(file, "plan", "small", "Once")
    (asked,) = engine.requests(Plan)
    assert (asked.request.execution.sampling.temperature, asked.request.execution.sampling.top_k) == (0.5, 7)


def test_flags_of_the_file_are_no_part_of_a_whole_request(
    file: Path, start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    file.write_text(GOOD)
    (tmp_path / "request.json").write_text('{"model": "tiny", "prompt": "a"}')
    done = run(file, "run", "--request", str(tmp_path / "request.json"), ENGINE_SOCKET=str(socket_path))
    assert done.returncode == 0, done.stderr
    (request,) = [message.request for message in engine.requests(Run)]
    assert request.execution.sampling.temperature == 0.0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("memory_mb = ", "it is not TOML"),
        ("memory_mb = 'much'", "memory_mb is 'much'; give a positive whole number"),
        ("memory_mb = true", "memory_mb is True; give a positive whole number"),
        ("memory_md = 1", "there is no setting 'memory_md'; did you mean memory_mb?"),
        ("[run]\ntemprature = 1", "run has no flag --temprature; did you mean temperature?"),
        ("[run]\nthreads = [1, 2]", "run.threads: give one value"),
        ("[aliases]\nsmall = 1", "aliases: give a table of names and models"),
        ("aliases = 'tiny'", "aliases: give a table of names and models"),
        ("[rum]\nthreads = 1", "there is no setting 'rum'; did you mean run?"),
    ],
)
def test_what_is_wrong_is_told_by_the_check_and_by_every_command(content: str, fault: str, file: Path) -> None:
    file.write_text(content)
    checked = run(file, "config", "check")
    assert (checked.returncode, fault in checked.stdout) == (2, True)
    refused = run(file, "run", "tiny", "Once")
    assert (refused.returncode, fault in refused.stderr) == (2, True)
    assert "engine-ctl config check" in refused.stderr


def test_a_value_that_the_flag_refuses_is_found_by_the_check(file: Path) -> None:
    file.write_text("[run]\nthreads = 'all'\n[serve]\nhttp = ['127.0.0.1:0']")
    checked = json.loads(run(file, "config", "check", "--json").stdout)
    assert checked["faults"] == ["run.threads: 'all' is not a valid integer."]


def test_the_table_holds_every_variable_that_is_read_and_the_page_has_them_all() -> None:
    own = {*(setting.variable for setting in SETTINGS), ALIASES_VARIABLE, CONFIG_VARIABLE}
    sources = [
        path for part in ("engine", "protocol", "actors", "tools/engine_ctl") for path in (ROOT / part).rglob("*.py")
    ]
    quoted = {name for path in sources for name in re.findall(r'"(ENGINE_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    native = {
        name
        for path in (ROOT / "csrc").rglob("*.cpp")
        for name in re.findall(r'getenv\("(ENGINE_[A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert (quoted | native) - own == set()
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert {name for name in own if f"`{name}`" not in page} == set()
