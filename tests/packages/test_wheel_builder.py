"""How wheels are built, of what can be known without building any."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import tomli

from tests.packages.packaging_program import PACKAGING, program

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_tools_that_build_packages_are_pinned() -> None:
    lines = (PACKAGING / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.match(r"#|[\w-]+==|(cmake|ninja|tomli)>=", line)] == []


def test_wheels_are_for_every_python_that_is_supported() -> None:
    oldest = int(PROJECT["requires-python"].removeprefix(">=3."))
    assert program("wheel/build_wheels.py").SUPPORTED[0] == f"python3.{oldest}"


def test_a_python_that_does_not_start_is_passed_over_unless_it_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tagged = program("wheel/build_wheels.py").tagged_pythons
    own = f"cp3{sys.version_info.minor}"
    assert tagged(["/nowhere/python3.99", sys.executable], all_wanted=False) == {own: sys.executable}
    assert capsys.readouterr().out == "/nowhere/python3.99 is not here\n"
    with pytest.raises(SystemExit, match=r"/nowhere/python3\.99 is no CPython that starts"):
        tagged(["/nowhere/python3.99", sys.executable], all_wanted=True)
    with pytest.raises(SystemExit, match="name one"):
        tagged(["/nowhere/python3.99"], all_wanted=False)


def test_headers_that_debian_keeps_by_machine_are_found_without_those_of_its_c_library(tmp_path: Path) -> None:
    by_machine = program("wheel/build_wheels.py").headers_by_machine
    kept = tmp_path / "include" / "some-machine" / "python3.99"
    kept.mkdir(parents=True)
    (kept / "pyconfig.h").touch()
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {tmp_path}/include/python3.99 some-machine\n", encoding="utf-8")
    python.chmod(0o755)
    for _ in range(2):  # the second build finds what the first one left
        (folder,) = by_machine(str(python), tmp_path / "room")
        assert [path.name for path in folder.rglob("*") if path.is_dir()] == ["some-machine", "python3.99"]
        assert (folder / "some-machine" / "python3.99" / "pyconfig.h").is_file()
    kept.rename(tmp_path / "elsewhere")
    assert by_machine(str(python), tmp_path / "room") == []
