"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.ci_log import CiLog
from tests.support.hang_report import HangReport

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("engine", deadline=None)
settings.load_profile("engine")

# Before numpy is imported. Its threads wait for each other by spinning, on CPUs that others need: where these are
# busy, products of small matrices take twenty times as long with two threads as with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Another log where nobody watches; a process of pytest-xdist has none of its own. And a word on what hangs."""
    config.pluginmanager.register(HangReport(float(config.getini("faulthandler_timeout")) - 20))
    if os.environ.get("CI") == "true" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(CiLog(config))


@pytest.fixture(scope="session", autouse=True)
def own_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No engine that a test starts writes into the user's records, nor is any configured as the user's are."""
    with pytest.MonkeyPatch.context() as environment:
        folder = tmp_path_factory.mktemp("data")
        environment.setenv("ENGINE_DATA_DIR", str(folder))
        environment.setenv("ENGINE_CONFIG", str(folder / "no-config.toml"))
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT interrupts this process and those that it starts, though a background job of a script ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def extension_of_the_tree() -> None:
    """Tests of a preset's build load that build, in every process."""
    if tree := os.environ.get("ENGINE_TEST_TREE"):
        from engine import _core  # noqa: PLC0415  tests without the engine's packages have no tree

        assert Path(_core.__file__).is_relative_to(tree)


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct Q4_1, the model that ``make run`` pulls."""
    # Here, so that a test that needs no model can do without the engine's packages.
    from tests.support import real_models  # noqa: PLC0415

    return real_models.smollm2()
