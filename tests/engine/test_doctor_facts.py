"""What a check-up looks at, on this machine and in places made for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.doctor.doctor_facts import Facts, probe_facts
from engine.host.machine import probe_machine
from engine.identity.version import ENGINE_VERSION


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path / name.lower()))
    for root in ("POWERCAP", "POWER_PMU", "HWMON"):
        monkeypatch.setenv(f"ENGINE_{root}_ROOT", str(tmp_path / root.lower()))
    monkeypatch.chdir(tmp_path)  # pytest's own folders have names too long for a socket
    return tmp_path


def probe() -> Facts:
    return probe_facts(Path("engine.sock"))


def test_the_machine_is_the_one_that_plans_are_made_for(folder: Path) -> None:
    facts, machine = probe(), probe_machine()
    assert facts.kernel_tables == machine.kernel_tables
    assert facts.cpu_model == machine.cpu_model
    assert facts.extension_version == facts.engine_version == ENGINE_VERSION
    assert facts.affinity == len(os.sched_getaffinity(0))
    assert facts.physical_bytes >= machine.memory_bytes
    assert facts.config_failure == facts.extension_failure == ""
    sources = {source.name: source for source in facts.energy}
    assert tuple(sources)[:4] == ("perf", "rapl", "hwmon", "meter")
    assert "does not exist" in sources["rapl"].reason
    assert "none" not in sources


def test_folders_are_looked_at_and_not_made(folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "a.gguf").write_bytes(b"12345")
    (folder / "models" / "a.txt").write_bytes(b"1")
    facts = probe()
    assert facts.models is not None
    assert (facts.models.files, facts.models.used_bytes, facts.models.usable) == (1, 5, True)
    assert facts.cache is not None
    assert (facts.cache.exists, facts.cache.nearest, facts.cache.usable) == (False, str(folder), True)
    assert sorted(path.name for path in folder.iterdir()) == ["models"]


def test_a_variable_that_makes_no_sense_is_told_and_the_rest_is_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_MEMORY_MB", "much")
    facts = probe()
    assert "ENGINE_MEMORY_MB is 'much'" in facts.config_failure
    assert facts.models is facts.cache is facts.data is None
    assert facts.kernel_tables


def test_nothing_at_the_sockets_place(folder: Path) -> None:
    found = probe().socket
    assert (found.kind, found.mode, found.engine_version) == ("absent", None, None)
    assert found.directory_kind == "directory"
    assert found.directory_owner == os.geteuid()


def test_a_socket_that_an_engine_left_behind(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind("engine.sock")
    Path("engine.sock").chmod(0o600)
    found = probe().socket
    assert (found.kind, found.mode, found.owner) == ("socket", 0o600, os.geteuid())
    assert "refused" in found.failure


def test_a_file_in_the_sockets_place(folder: Path) -> None:
    Path("engine.sock").write_text("precious")
    assert probe().socket.kind == "other"


def test_an_engine_that_says_nothing_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.doctor.doctor_facts._CONNECT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind("engine.sock")
        silent.listen()
        found = probe().socket
    assert found.engine_version is None
    assert "did not answer within" in found.failure


def test_without_its_compiled_part_the_check_up_still_works(folder: Path) -> None:
    program = """
import sys
sys.modules["engine._core"] = None
from pathlib import Path
from engine.doctor.doctor import examine
from engine.doctor.doctor_facts import probe_facts
checks = {check.name: check for check in examine(probe_facts(Path("engine.sock")))}
assert checks["versions"].status == checks["backends"].status == checks["configuration"].status == "problem"
assert "_core" in checks["versions"].found
"""
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  our own program
