from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.artifact.split_files import part_paths
from engine.host.file_memory import file_identity
from engine.models.model_description import describe_model
from engine.models.registry import ModelRegistry
from protocol.errors import InvalidModel
from tests.engine.test_models import make_registry
from tests.support.gguf_bytes import ModelBytes
from tests.support.split_models import SplitModel


def test_the_hash_is_of_all_parts(tmp_path: Path) -> None:
    parts = part_paths(SplitModel().write(tmp_path))
    content = b"".join(part.read_bytes() for part in parts)
    hashes = ContentHashes(tmp_path / "memory.json")
    assert hashes.of(*parts) == "sha256:" + hashlib.sha256(content).hexdigest()
    identity = file_identity(*parts)
    parts[-1].write_bytes(parts[-1].read_bytes() + b"\0")
    assert file_identity(*parts) != identity
    assert hashes.of(*parts) == "sha256:" + hashlib.sha256(content + b"\0").hexdigest()


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    registry = make_registry(tmp_path)
    SplitModel().write(tmp_path / "models")
    return registry


def test_a_split_model_is_listed_once_and_found_by_its_name(registry: ModelRegistry) -> None:
    assert [model.name for model in registry.directory.models()] == ["model"]
    for name in ("model", "model-00001-of-00003", "model-00001-of-00003.gguf"):
        artifact = registry.resolve(name)
        assert artifact.name == "model"
        assert len(artifact.tensors) == 11


def test_a_split_model_is_described_as_a_whole(tmp_path: Path, registry: ModelRegistry) -> None:
    split = describe_model(registry.resolve("model"), "reference")
    ModelBytes().write(tmp_path / "models" / "whole.gguf")
    whole = describe_model(registry.resolve("whole"), "reference")
    assert (split.files, whole.files) == (3, 1)
    assert split.size_bytes == sum(path.stat().st_size for path in part_paths(Path(split.path)))
    assert (split.tensors, split.parameters_total, split.memory) == (
        whole.tensors, whole.parameters_total, whole.memory,
    )  # fmt: skip
    assert [recipe.weights_bytes for recipe in split.recipes] == [recipe.weights_bytes for recipe in whole.recipes]


def test_a_missing_part_is_named(tmp_path: Path, registry: ModelRegistry) -> None:
    (tmp_path / "models" / "model-00002-of-00003.gguf").unlink()
    with pytest.raises(InvalidModel, match="model-00002-of-00003"):
        registry.resolve("model")
