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
