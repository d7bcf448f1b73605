"""Isolation, where this machine has it."""

from __future__ import annotations

import pytest

from auton.errors import AutonError
from auton.sandbox import Sandbox


@pytest.fixture
def isolation() -> Sandbox:
    try:
        return Sandbox()
    except AutonError as error:
        pytest.skip(str(error))
