"""Fixtures that several tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.backend_bench import Bench
from tests.engine.hub_server import HubServer
from tests.engine.hub_stage import HubStage, point_at


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStage]:
    """A hub with nothing in it yet, and an engine's directories."""
    with HubServer() as hub:
        point_at(hub.endpoint, tmp_path, monkeypatch)
        # Read once, when the library was imported.
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "huggingface" / "token"))
        yield HubStage(hub, tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A backend without actors, closed at the end."""
    bench = Bench(tmp_path)
    yield bench
    bench.backend.close()
