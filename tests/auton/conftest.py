"""Isolation, where this machine has it, and a repository to run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from auton.errors import AutonError
from auton.repository import Repository
from auton.sandbox import Sandbox
from tests.auton.git_stage import new_repository
from tests.auton.run_stage import Stage


@pytest.fixture
def isolation() -> Sandbox:
    try:
        return Sandbox()
    except AutonError as error:
        pytest.skip(str(error))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(new_repository(tmp_path / "repository"))


@pytest.fixture
def stage(repository: Repository, tmp_path: Path) -> Stage:
    return Stage(repository, tmp_path)
