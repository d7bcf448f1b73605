"""Places of models that are too large to make or commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import _core
from engine.config import default_config
from engine.fetch.pull_watch import PullWatch
from engine.models.registry import ModelRegistry
from protocol.errors import DownloadFailed

SMOLLM2 = "smollm2-135m-instruct"


def smollm2() -> Path:
    """SmolLM2 from ``ENGINE_TEST_MODELS``, else the engine's own models directory, pulled into it if need be.
    Skips where it cannot be downloaded.
    """
    given = _in_test_models("SmolLM2-135M-Instruct.Q4_1.gguf")
    if given is not None:
        return given
    try:
        return ModelRegistry(default_config()).pull(SMOLLM2, PullWatch()).path
    except DownloadFailed as error:
        pytest.skip(f"SmolLM2 cannot be had: {error}")


def hand_fetched(file_name: str) -> Path:
    """A model that nothing pulls: from ``ENGINE_TEST_MODELS`` or the models directory. Skips where it is absent."""
    installed = default_config().models_dir / file_name
    path = _in_test_models(file_name) or (installed if installed.is_file() else None)
    if path is None:
        pytest.skip(f"{file_name} is neither in ENGINE_TEST_MODELS nor in {installed.parent}")
    return path


def fast_kernel_table() -> str:
    """The vectorised table every supported machine has. Skips where even that is missing."""
    reason = _core.kernel_tables()["cpu_avx2"]
    if reason:
        pytest.skip(f"cpu_avx2 cannot run here ({reason}), and the scalar table would take hours")
    return "cpu_avx2"


def allowed_cpus() -> int:
    return len(os.sched_getaffinity(0))


def _in_test_models(file_name: str) -> Path | None:
    folder = os.environ.get("ENGINE_TEST_MODELS", "")
    path = Path(folder) / file_name
    return path if folder and path.is_file() else None
