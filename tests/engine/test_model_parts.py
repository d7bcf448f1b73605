from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.content_hash import ContentHashes, file_identity
from engine.model_parts import is_later_part, model_name, model_parts
from engine.models import ModelRegistry
from protocol.errors import InvalidModel
from tests.csrc.test_split_files import SplitModel
from tests.engine.test_models import make_registry


def test_a_file_of_any_other_name_is_alone() -> None:
    for name in ("model.gguf", "model-00002-of-00003.gguf", "model-1-of-3.gguf", "model-00001-of-00003.bin"):
        assert model_parts(Path("/models") / name) == (Path("/models") / name,)
    assert model_name(Path("model.gguf")) == "model"
    assert not is_later_part(Path("model-00001-of-00003.gguf"))


def test_the_first_part_stands_for_all() -> None:
    parts = model_parts(Path("/models/a-b-00001-of-00003.gguf"))
    assert [part.name for part in parts] == [f"a-b-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert model_name(parts[0]) == "a-b"
    assert [is_later_part(part) for part in parts] == [False, True, True]


def test_the_hash_and_the_identity_are_of_all_parts(tmp_path: Path) -> None:
    first = SplitModel().write(tmp_path)
    content = b"".join(part.read_bytes() for part in model_parts(first))
    hashes = ContentHashes(tmp_path / "memory.json")
    assert hashes.of(first) == "sha256:" + hashlib.sha256(content).hexdigest()
    identity = file_identity(first)
    last = model_parts(first)[-1]
    last.write_bytes(last.read_bytes() + b"\0")
    assert file_identity(first) != identity
    assert hashes.of(first) == "sha256:" + hashlib.sha256(content + b"\0").hexdigest()


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    registry = make_registry(tmp_path)
    SplitModel().write(tmp_path / "models")
    return registry


def test_a_split_model_is_listed_once_and_found_by_its_name(tmp_path: Path, registry: ModelRegistry) -> None:
    listed = {summary.name: summary for summary in registry.summaries() if summary.installed}
    assert list(listed) == ["model"]
    assert listed["model"].size_bytes == sum(p.stat().st_size for p in (tmp_path / "models").iterdir())
    for name in ("model", "model-00001-of-00003", "model-00001-of-00003.gguf"):
        artifact = registry.resolve(name)
        assert artifact.name == "model"
        assert len(artifact.tensors) == 11


def test_a_missing_part_is_named(tmp_path: Path, registry: ModelRegistry) -> None:
    (tmp_path / "models" / "model-00002-of-00003.gguf").unlink()
    with pytest.raises(InvalidModel, match="model-00002-of-00003"):
        registry.resolve("model")
