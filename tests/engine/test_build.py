"""Builds are told apart by what they are made of, wherever it lies and whenever it was written."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from engine import _core
from engine.doctor.doctor_facts import probe_facts
from engine.identity.arithmetic import arithmetic_digest
from engine.identity.build import current_build, digest_of_files, python_sources, stale_sources

ROOT = Path(__file__).parent.parent.parent


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_build_says_what_it_is() -> None:
    build = current_build()
    assert re.fullmatch(r"[0-9a-f]{32}", build.id)
    assert build.arithmetic is not None
    assert re.fullmatch(r"[0-9a-f]{32}", build.arithmetic)
    assert re.fullmatch(r"(GNU|Clang|AppleClang|IntelLLVM) [0-9.]+", build.compiler)
    assert current_build() is build


def test_where_the_self_test_cannot_run_it_is_unknown_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "memfd_create", refused)
    monkeypatch.setattr("engine.identity.build.arithmetic_digest", arithmetic_digest.__wrapped__)
    build = current_build.__wrapped__()
    assert build.arithmetic is None
    assert build.reason is not None
    assert os.strerror(errno.ENOSYS) in build.reason
    assert build.id == current_build().id


def test_the_digest_is_of_names_and_contents_alone(tmp_path: Path) -> None:
    a, b = write(tmp_path / "one/a.py", "1"), write(tmp_path / "one/b.py", "2")
    digest = digest_of_files({"p/a.py": a, "p/b.py": b})
    elsewhere = write(tmp_path / "two/b.py", "2")
    os.utime(elsewhere, (0, 0))
    assert digest_of_files({"p/b.py": elsewhere, "p/a.py": a}) == digest
    assert digest_of_files({"p/a.py": a, "p/c.py": b}) != digest
    assert digest_of_files({"p/a.py": a}) != digest
    b.write_text("3")
    assert digest_of_files({"p/a.py": a, "p/b.py": b}) != digest


def test_python_files_of_every_package_count() -> None:
    assert {"actors/system.py", "engine/fetch/hub/session.py", "engine_ctl/main.py", "protocol/record.py"} <= set(
        python_sources()
    )


def test_an_extension_made_of_other_sources_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not (ROOT / "CMakeLists.txt").is_file():
        pytest.skip("the sources of the extension are not here")
    assert stale_sources() is None, "build the extension again: make develop"
    monkeypatch.setattr(_core, "native_build", lambda: {"sources": "0" * 64, "compiler": "GNU 12", "flags": ""})
    assert stale_sources() == str(ROOT / "csrc")
    assert probe_facts(tmp_path / "engine.sock").stale_sources == str(ROOT / "csrc")
