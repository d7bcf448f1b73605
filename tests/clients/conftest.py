"""An engine for the clients of others. They are in an environment of their own, which ``make test-clients`` makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.http_engine import HERMES, THINKER, THINKING, TINY, HttpEngine, serving_http
from tests.support.gguf_factory import write_tiny_model

# LiteLLM fetches what models cost when it is imported, unless it is told not to.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture(scope="session")
def engine(own_records: None) -> Iterator[HttpEngine]:
    """Knows the two models alone."""
    # A socket's path must be short; folders of pytest's own are not.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        tiny, thinker = (folder / "models" / f"{name}.gguf" for name in (TINY, THINKER))
        write_tiny_model(tiny, context_length=8192, chat_template=HERMES)
        write_tiny_model(thinker, context_length=8192, chat_template=THINKING, more_controls=("<think>", "</think>"))
        places = {"ENGINE_MODELS_DIR": str(folder / "models"), "ENGINE_CACHE_DIR": str(folder / "cache")}
        with serving_http(folder, env={**os.environ, **places}) as engine:
            yield engine
