"""What most tests of the run loop begin with; those that need another one make it themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench
from tests.support.tiny_models import tiny_model, tiny_vocabulary


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary()) as bench:
        yield bench


@pytest.fixture
def model() -> _core.Model:
    return tiny_model()
