"""Mistyped words, completions of a shell, and manual pages: made from the commands themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from engine_ctl import completions
from engine_ctl.main import COMMANDS, main
from engine_ctl.manual_page import manual_pages
from protocol.plan import BackendName, KvCacheType, SchedulerPolicy
from protocol.quantization import QUANTIZATIONS
from tests.tools.command_line import engine_ctl


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rnu",), "Did you mean `engine-ctl run`?"),
        (("pull", "x"), "Did you mean `engine-ctl models pull`?"),
        (("list",), "Did you mean `engine-ctl models ls`?"),
        (("models", "lst"), "Did you mean `engine-ctl models ls`?"),
        (("run", "--temprature", "1"), "--temperature"),
        (("stop",), "Did you mean `engine-ctl shutdown` or `engine-ctl models unload`?"),
        (("plans", "save", "x"), "Did you mean `engine-ctl proposals apply` or `engine-ctl run --plan FILE`?"),
        (("run", "--temp", "1"), "Did you mean '--temperature'?"),
        (("bench", "-t", "1"), "Did you mean '--threads'?"),
        (("executions", "prune", "--before", "1d"), "give a time such as 2026-01-31"),
        (("executions", "prune", "--before", "0001-01-01T00:00:00+14:00"), "give a time such as 2026-01-31"),
    ],
)
def test_a_mistyped_word_is_told_the_nearest(words: tuple[str, ...], told: str) -> None:
    result = engine_ctl(*words)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_word_like_no_other_suggests_none() -> None:
    assert "Did you mean" not in engine_ctl("xyzzy").stderr


def completed(*words: str, **environment: str) -> list[str]:
    """What a shell is offered for the last word."""
    said = {"_ENGINE_CTL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["engine-ctl", *words])}
    offered = engine_ctl_with({**said, "COMP_CWORD": str(len(words)), **environment})
    return [line.partition(",")[2] for line in offered.splitlines() if line]


def engine_ctl_with(environment: dict[str, str]) -> str:
    from click.testing import CliRunner  # noqa: PLC0415

    return CliRunner().invoke(main, [], env=environment, prog_name="engine-ctl").stdout


def test_a_shell_completes_commands_flags_models_and_quantizations(tmp_path: Path) -> None:
    (tmp_path / "hf" / "o" / "r").mkdir(parents=True)
    for name in ("small.gguf", "large.gguf", "hf/o/r/far.gguf"):
        (tmp_path / name).touch()
    here = {"ENGINE_MODELS_DIR": str(tmp_path), "ENGINE_ALIASES": "s1=small"}
    assert completed("exec") == ["executions"]
    assert completed("run", "s", **here) == ["s1", "small"]
    assert completed("run", "small", "s", **here) == []
    assert completed("bench", "hf", **here) == ["hf:o/r/far.gguf"]
    assert completed("run", "small", "--quant", "q", **here) == [
        "q8_0",
        "q6_k",
        "q5_k_m",
        "q4_k_m",
        "q4_k_s",
        "q4_0",
        "q3_k_m",
    ]
    assert "--temperature" in completed("run", "--temp")


def test_what_is_completed_is_what_a_plan_may_say() -> None:
    """Written out there, since a shell waits for them: what lists them otherwise takes longer to import."""
    assert get_args(BackendName) == completions.BACKENDS
    assert get_args(KvCacheType) == completions.KV_CACHES
    assert get_args(SchedulerPolicy) == completions.POLICIES
    assert QUANTIZATIONS == completions.QUANTIZATIONS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_own_script_is_printed(shell: str) -> None:
    script = engine_ctl("completion", shell).stdout
    assert "_ENGINE_CTL_COMPLETE" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)  # noqa: S603  reads it, runs nothing


def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    pages = dict(manual_pages(main, "engine-ctl", "1.0"))
    assert {"engine-ctl.1", *(f"engine-ctl-{name}.1" for name in COMMANDS)} <= set(pages)
    assert "engine-ctl-models-pull.1" in pages
    page = pages["engine-ctl-run.1"]
    assert page.startswith('.TH "ENGINE-CTL-RUN" "1"')
    assert "\\fB\\-\\-temperature FLOAT\\fR" in page
    assert [line for line in page.splitlines() if line.startswith("'")] == []
    engine_ctl("man", str(tmp_path / "man1"))
    assert {path.name for path in (tmp_path / "man1").iterdir()} == set(pages)


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_man_takes_the_pages_without_a_warning(tmp_path: Path) -> None:
    engine_ctl("man", str(tmp_path))
    for page in sorted(tmp_path.iterdir()):
        done = subprocess.run(  # noqa: S603
            ["man", "--warnings", "-l", str(page)],  # noqa: S607
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
