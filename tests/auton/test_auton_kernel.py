"""A scripted run to a kernel that boots in QEMU and says hello on its serial line, for each architecture."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from auton.budget import Budget
from auton.orchestrator import Orchestrator
from auton.provider import ScriptedProvider
from auton.repository import Repository, git
from auton.sandbox import Sandbox
from auton.settings import Architecture, Settings, parse_settings
from auton.validation import CROSS
from tests.auton.git_stage import ACCEPTED, approved, call, line, new_repository, planned, write_script
from tests.auton.kernel_sources import LINK, MAKEFILE, START

SETTINGS = """
[kernel]
arch = "{arch}"

[validation]
build_command = ["make", "ARCH={{arch}}", "CROSS={{cross}}"]
kernel = "build/{{arch}}/kernel.elf"
serial_expect = "hello from {arch}"
"""


def settings_of(arch: Architecture) -> Settings:
    return parse_settings(SETTINGS.format(arch=arch))


@pytest.fixture(params=sorted(CROSS))
def arch(request: pytest.FixtureRequest, isolation: Sandbox) -> Architecture:
    """Those whose compiler and machine are here."""
    found: Architecture = request.param
    missing = [name for name in (f"{CROSS[found]}gcc", f"qemu-system-{found}") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = new_repository(tmp_path / "repository")
    (folder / "Makefile").write_text(MAKEFILE)
    git(folder, "commit", "--quiet", "--all", "--message", "Build for each architecture", at=1_000_000_001)
    return Repository(folder)


def run(repository: Repository, tmp_path: Path, arch: Architecture, start: str) -> tuple[bool, str]:
    files = [
        call("write_file", path=f"kernel/{arch}/{name}", content=content)
        for name, content in (("start.S", start), ("link.ld", LINK[arch]))
    ]
    script = [
        planned(("boot-001", f"kernel/{arch}/*")),
        line("developer", "boot-001", *files, call("submit", summary="Say hello on the serial line")),
        approved("boot-001"),
        ACCEPTED,
    ]
    settings = settings_of(arch)
    provider = ScriptedProvider(write_script(tmp_path / "script.jsonl", script))
    budget = Budget(settings.budget, lambda: 0.0)
    orchestrator = Orchestrator(repository, "one", settings, provider, budget, Sandbox(), lambda _: None)
    ended = trio.run(orchestrator.run, "A kernel that says hello", 1_700_000_000)
    return ended.accepted, ended.remark


def test_a_kernel_is_built_and_says_hello(repository: Repository, tmp_path: Path, arch: Architecture) -> None:
    accepted, remark = run(repository, tmp_path, arch, START[arch])
    assert accepted, remark


def test_a_kernel_that_says_something_else_is_not_accepted(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: Architecture
) -> None:
    silent = START[arch].replace("hello from", "panic on")
    monkeypatch.setitem(globals(), "SETTINGS", SETTINGS + "test_timeout = 5\n")
    accepted, remark = run(repository, tmp_path, arch, silent)
    assert (accepted, remark.splitlines()[0]) == (False, "boot took too long")
    assert f"panic on {arch}" in remark
