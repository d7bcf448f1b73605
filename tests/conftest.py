"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct Q4_1, the model that ``make run`` pulls."""
    # Here, so that a test that needs no model can do without the engine's packages.
    from tests import real_models  # noqa: PLC0415

    return real_models.smollm2()
