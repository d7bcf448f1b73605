"""Refusals of a quantization to a file, before a model is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.models.registry import ModelRegistry
from engine.operations.file_quantization import FileQuantization
from protocol.errors import InvalidRequest
from protocol.requests import Quantize
from tests.engine.backend_bench import MACHINE
from tests.support.gguf_factory import write_tiny_model


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("output", "q.gguf"),
        ("output", "/nowhere/a\0b.gguf"),
        ("output", "/proc/self/cwd/q.gguf"),
        ("output", "/dev/q.gguf"),
        ("importance", "/nowhere/a\0b"),
        ("importance", "matrix"),
    ],
)
def test_a_path_that_can_be_none_is_refused_before_anything_is_read(tmp_path: Path, field: str, value: str) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    registry = ModelRegistry(EngineConfig(tmp_path / "models", tmp_path / "cache", tmp_path))
    asked = {"output": str(tmp_path / "q.gguf"), "importance": None, field: value}
    request = Quantize.model_validate({"request_id": 1, "model": str(model), "recipe": "q8_0", **asked})
    operation = FileQuantization(request, registry, MACHINE)
    with pytest.raises(InvalidRequest) as refused:
        operation.run()
    assert refused.value.params["field"] == field
    assert operation.progress() is None
    assert not (tmp_path / "q.gguf").exists()
