"""Models are removed whole, from the models directory alone, and never while they are needed."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.models.registry import ModelRegistry
from engine.operations.model_removal import ModelRemoval
from engine.weights.weights_cache import DerivedWeightsKey, WeightsCache
from protocol.errors import InvalidRequest, ModelInUse, UnknownModel
from tests.support.gguf_factory import write_tiny_model


@dataclass
class Weights:
    """Weights in memory."""

    idle: set[Path] = field(default_factory=set)
    used: set[Path] = field(default_factory=set)

    def uses_weights(self, path: Path) -> bool:
        return path in self.used

    def let_weights_go(self, path: Path) -> bool:
        if path in self.used:
            return False
        self.idle.discard(path)
        return True


@dataclass
class Stage:
    config: EngineConfig
    weights: Weights = field(default_factory=Weights)
    executions: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = ModelRegistry(self.config)
        self.cache = WeightsCache(self.config.cache_dir / "weights", 10**6)
        self.models = self.config.models_dir

    def removal(self, name: str) -> ModelRemoval:
        return ModelRemoval(name, self.registry, self.cache, self.weights, self.executions)

    def remove(self, name: str) -> ModelRemoval:
        removal = self.removal(name)
        removal.carry_out()
        return removal

    def derive(self, content_hash: str, model: str, recipe: str) -> str:
        key = DerivedWeightsKey(content_hash, recipe, None, 1)
        self.cache.store(key, model, 8, write_weights).close()
        return key.name


def write_weights(path: Path) -> None:
    path.write_bytes(b"weights!")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    (tmp_path / "models").mkdir()
    return Stage(EngineConfig(tmp_path / "models", tmp_path / "cache", tmp_path))


def place(stage: Stage, name: str) -> Path:
    path = stage.models / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tiny_model(path)


def test_a_split_model_goes_though_a_part_is_missing(stage: Stage) -> None:
    parts = [place(stage, f"tiny-0000{number}-of-00003.gguf") for number in (1, 3)]
    derived = stage.derive("sha256:1", "tiny", "q8_0")
    removal = stage.remove("tiny")
    assert removal.files == tuple(parts)
    assert [entry.key.name for entry in removal.derived] == [derived]
    assert not any(part.exists() for part in parts)


def test_a_model_goes_and_says_what_it_frees(stage: Stage) -> None:
    path = place(stage, "tiny.gguf")
    size = path.stat().st_size
    looked = stage.removal("TINY")
    assert (looked.freed_bytes, looked.files, path.exists()) == (size, (path,), True)
    assert stage.remove("tiny").freed_bytes == size
    assert not path.exists()
    with pytest.raises(UnknownModel):
        stage.registry.resolve("tiny")


def test_a_model_of_the_hub_takes_its_directories_along(stage: Stage) -> None:
    path = place(stage, "hf/owner/repo/sub/m.gguf")
    other = place(stage, "hf/owner/other/m.gguf")
    stage.remove("hf:owner/repo")
    assert (path.exists(), (stage.models / "hf/owner/repo").exists(), other.exists()) == (False, False, True)
    stage.remove("hf:owner/other/m.gguf")
    assert list(stage.models.iterdir()) == []


def test_all_parts_go(stage: Stage) -> None:
    paths = [place(stage, f"big-0000{number}-of-00002.gguf") for number in (1, 2)]
    assert stage.remove("big").files == tuple(paths)
    assert list(stage.models.iterdir()) == []


def test_a_broken_model_can_go(stage: Stage) -> None:
    (stage.models / "torn.gguf").write_text("hello")
    assert stage.remove("torn").freed_bytes == 5


def test_what_has_arrived_of_a_model_can_go(stage: Stage) -> None:
    partial = stage.models / "hf/owner/repo/.m.gguf.0123456789abcdef-1000.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(400))
    with partial.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(ModelInUse, match="being fetched"):
            stage.remove("hf:owner/repo/m.gguf")
    assert stage.remove("hf:owner/repo/m.gguf").freed_bytes == 400
    assert list(stage.models.iterdir()) == []


def test_what_is_needed_stays(stage: Stage) -> None:
    path = place(stage, "tiny.gguf")
    stage.executions[str(path)] = ["e1", "e2"]
    with pytest.raises(ModelInUse, match="e1, e2") as refused:
        stage.removal("tiny")
    assert refused.value.params == {"model": "tiny", "executions": ["e1", "e2"]}
    stage.executions.clear()
    stage.weights.used.add(path)
    with pytest.raises(ModelInUse, match="weights of tiny are in use"):
        stage.removal(str(path))
    assert path.exists()


def test_idle_weights_leave_memory_with_the_model_and_not_before(stage: Stage) -> None:
    path, other = place(stage, "tiny.gguf"), place(stage, "other.gguf")
    stage.weights.idle |= {path, other}
    removal = stage.removal("tiny")
    assert stage.weights.idle == {path, other}
    removal.carry_out()
    assert stage.weights.idle == {other}


def test_weights_that_come_into_use_meanwhile_keep_the_model(stage: Stage) -> None:
    path = place(stage, "tiny.gguf")
    removal = stage.removal("tiny")
    stage.weights.used.add(path)
    with pytest.raises(ModelInUse, match="in use"):
        removal.carry_out()
    assert path.exists()


def test_a_file_elsewhere_is_not_the_engines_to_remove(stage: Stage, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "mine.gguf")
    for name in (str(path), str(stage.models / ".." / "mine.gguf")):
        with pytest.raises(InvalidRequest, match="not in the models directory"):
            stage.removal(name)
    assert path.exists()


@pytest.mark.parametrize("name", ["nonsense", "smollm2-135m-instruct", "hf:owner/repo/m.gguf"])
def test_what_is_not_here_is_unknown(stage: Stage, name: str) -> None:
    with pytest.raises(UnknownModel):
        stage.removal(name)


def test_a_link_goes_and_what_it_points_to_stays(stage: Stage, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "mine.gguf")
    (stage.models / "link.gguf").symlink_to(path)
    assert stage.remove("link").freed_bytes == 0
    assert (path.exists(), list(stage.models.iterdir())) == (True, [])


def test_weights_made_of_the_model_are_named_and_stay(stage: Stage) -> None:
    path = place(stage, "tiny.gguf")
    content_hash = stage.registry.hashes.of(path)
    made = {stage.derive(content_hash, "tiny", recipe) for recipe in ("q8_0", "q6_k")}
    stage.derive("sha256:other", "tiny", "q8_0")
    removed = stage.remove("tiny")
    assert {entry.name for entry in removed.derived} == made
    assert len(stage.cache.entries()) == 3


def test_without_a_hash_they_are_known_by_the_models_name(stage: Stage) -> None:
    place(stage, "tiny.gguf")
    made = stage.derive("sha256:a", "tiny", "q8_0")
    stage.derive("sha256:b", "other", "q8_0")
    assert [entry.name for entry in stage.removal("tiny").derived] == [made]
