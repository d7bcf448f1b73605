"""An engine for the clients of others. They are in an environment of their own, which ``make test-clients`` makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.http_engine import HERMES, TINY, HttpEngine, serving_http
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture(scope="session")
def engine(own_records: None) -> Iterator[HttpEngine]:
    """Knows the model ``tiny`` alone."""
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        write_tiny_model(folder / "models" / f"{TINY}.gguf", context_length=8192, chat_template=HERMES)
        places = {"ENGINE_MODELS_DIR": str(folder / "models"), "ENGINE_CACHE_DIR": str(folder / "cache")}
        with serving_http(folder, env={**os.environ, **places}) as engine:
            yield engine
