"""Data and a trained model that the tests share. Those of PyTorch are skipped where it is not installed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slm.corpus.prepared_data import PreparedData
from tests.slm.small_models import small_configuration, small_data


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return small_data(tmp_path_factory.mktemp("slm") / "data")


@pytest.fixture(scope="session")
def trained(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that came to its end."""
    torch = pytest.importorskip("torch", reason="make test-slm runs it")
    from slm.training.trainer import Trainer  # noqa: PLC0415  needs PyTorch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("slm") / "run"
    Trainer(folder, data, small_configuration()).run(None, lambda _: None)
    return folder


@pytest.fixture
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)


@pytest.fixture
def absent_socket(_own_places: None) -> Iterator[Path]:
    """A socket where no engine listens, so that one is started in this process."""
    # pytest's own folders have long names; a Unix socket's path may hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        yield Path(folder) / "engine.sock"
