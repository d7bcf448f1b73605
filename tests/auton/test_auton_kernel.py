"""A scripted run to a kernel that boots in QEMU and says hello on its serial line, for each architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from auton.budget import Budget
from auton.orchestrator import Orchestrator
from auton.provider import ScriptedProvider
from auton.repository import Repository
from auton.sandbox import Sandbox
from auton.settings import Architecture, parse_settings
from auton.validation import CROSS
from tests.auton.git_stage import write_script
from tests.auton.kernel_sources import START
from tests.auton.kernel_stage import kernel_repository, kernel_script, kernel_settings, missing_packages

SPIN = {"x86_64": "jmp 2b", "aarch64": "b 2b", "riscv64": "j 2b"}


@pytest.fixture(params=sorted(CROSS))
def arch(request: pytest.FixtureRequest, isolation: Sandbox) -> Architecture:
    """Those whose compiler and machine are here."""
    found: Architecture = request.param
    if missing := missing_packages(found):
        pytest.skip(f"{', '.join(missing)} is not installed")
    return found


def run(folder: Path, arch: Architecture, start: str, test_timeout: float = 60.0) -> tuple[bool, str, bytes]:
    """Whether the kernel is accepted, the last word about it, and the run's journal."""
    repository = Repository(kernel_repository(folder / "repository"))
    settings = parse_settings(kernel_settings(arch, test_timeout))
    provider = ScriptedProvider(write_script(folder / "script.jsonl", kernel_script(arch, start)))
    budget = Budget(settings.budget, lambda: 0.0)
    orchestrator = Orchestrator(repository, "one", settings, provider, budget, Sandbox(), lambda _: None)
    ended = trio.run(orchestrator.run, "A kernel that says hello", 1_700_000_000)
    return ended.accepted, ended.remark, Orchestrator.journal_path(repository, "one").read_bytes()


def test_a_kernel_is_built_and_says_hello_and_so_again_to_the_byte(tmp_path: Path, arch: Architecture) -> None:
    accepted, remark, journal = run(tmp_path / "first", arch, START[arch])
    assert accepted, remark
    assert run(tmp_path / "second", arch, START[arch])[2] == journal


def test_a_kernel_that_says_something_else_is_not_accepted(tmp_path: Path, arch: Architecture) -> None:
    other = START[arch].replace("hello from", "panic on")
    accepted, remark, _ = run(tmp_path, arch, other, test_timeout=5)
    assert (accepted, remark.splitlines()[0]) == (False, "boot took too long")
    assert f"panic on {arch}" in remark


def test_a_kernel_that_spins_in_silence_is_not_accepted(tmp_path: Path, arch: Architecture) -> None:
    silent = START[arch].replace("_start:\n", f"_start:\n2:  {SPIN[arch]}\n", 1)
    accepted, remark, _ = run(tmp_path, arch, silent, test_timeout=2)
    assert (accepted, remark.splitlines()[0]) == (False, "boot took too long")
    assert "hello" not in remark
