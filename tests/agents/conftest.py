"""A tiny model, an engine that serves it, and a workload."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving


@pytest.fixture
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)


@pytest.fixture
def tiny(tmp_path: Path, _own_places: None) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


@pytest.fixture
def long_model(tmp_path: Path, _own_places: None) -> Path:
    """With room for answers of some thousand tokens."""
    path = tmp_path / "long.gguf"
    return write_tiny_model(path, n_embd=512, n_ff=1024, context_length=4096, tensor_type="F16")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    # pytest's own folders have long names; a Unix socket's path may hold 107 bytes.
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        yield Path(folder)


@pytest.fixture
def socket(tiny: Path, short_folder: Path) -> Iterator[Path]:
    """The socket of a running engine."""
    path = short_folder / "engine.sock"
    with serving(path):
        yield path


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Once upon a time {number}"}) + "\n" for number in range(8)))
    return path
