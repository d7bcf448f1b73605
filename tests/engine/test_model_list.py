"""What `models ls` is told: headers alone, read once."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import _core
from engine.artifact.footprint import default_activation_bytes
from engine.artifact.split_files import part_paths
from engine.config import EngineConfig
from engine.fetch.catalogue import CATALOGUE
from engine.fetch.hub.known_models import KNOWN_MODELS
from engine.fetch.hub.reference import HubReference
from engine.models.model_headers import ModelHeaders
from engine.models.model_list import list_models
from engine.models.registry import ModelRegistry
from protocol.summaries import ModelHeader, ModelSummary
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import new_gguf, write_tiny_model
from tests.support.split_models import SplitModel


def make_config(directory: Path) -> EngineConfig:
    (directory / "models").mkdir(exist_ok=True)
    return EngineConfig(directory / "models", directory / "cache", directory)


def everything_listed(directory: Path) -> dict[str, ModelSummary]:
    config = make_config(directory)
    models = list_models(ModelRegistry(config).directory, ModelHeaders(config, "reference"))
    assert len({model.name for model in models}) == len(models)
    return {model.name: model for model in models}


def listed(directory: Path) -> dict[str, ModelSummary]:
    """Without the well-known ones of the hub that are not here."""
    known = {model.name for model in KNOWN_MODELS}
    return {name: model for name, model in everything_listed(directory).items() if name not in known}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return make_config(tmp_path).models_dir


def test_the_catalogue_comes_first_and_then_what_is_here(tmp_path: Path, models: Path) -> None:
    path = write_tiny_model(models / "Tiny-Llama.gguf")
    catalogued, mine = listed(tmp_path).values()
    assert (catalogued.name, catalogued.installed, catalogued.path) == (CATALOGUE[0].name, False, "")
    assert (catalogued.licence, catalogued.memory_bytes, catalogued.reason) == ("apache-2.0", None, "not pulled")
    assert (mine.name, mine.installed, mine.path) == ("Tiny-Llama", True, str(path))
    assert (mine.source, mine.size_bytes) == ("file", path.stat().st_size)


def test_a_name_that_claims_countless_parts_is_one_file(tmp_path: Path, models: Path) -> None:
    for name in ("z-00001-of-99999.gguf", "y-00002-of-01025.gguf", ".x-00001-of-99999.gguf.0123-10.part"):
        (models / name).write_bytes(b"")
    files = {model.name: model.files for model in listed(tmp_path).values() if model.source == "file"}
    assert files == {"y-00002-of-01025": 1, "z-00001-of-99999": 1, "x-00001-of-99999": 1}


def test_a_well_known_model_is_offered_until_it_is_here(tmp_path: Path, models: Path) -> None:
    known = KNOWN_MODELS[0]
    offered = everything_listed(tmp_path)[known.name]
    assert (offered.installed, offered.source, offered.reason) == (False, "hub", "not pulled")
    assert (offered.size_bytes, offered.licence) == (known.size_bytes, known.licence)
    reference = HubReference.parse(known.reference)
    directory = models / reference.directory
    directory.mkdir(parents=True)
    path = write_tiny_model(directory / f"model-{reference.label}.gguf")
    found = everything_listed(tmp_path)
    assert known.name not in found
    assert found[f"hf:{reference.repository_id}/{path.name}"].installed
    assert ModelRegistry(make_config(tmp_path)).find(known.name.upper()).path == path


def test_a_file_of_ones_own_may_have_a_well_known_name(tmp_path: Path, models: Path) -> None:
    path = write_tiny_model(models / f"{KNOWN_MODELS[0].name}.gguf")
    assert ModelRegistry(make_config(tmp_path)).find(KNOWN_MODELS[0].name).path == path


@pytest.mark.parametrize("pulled", [False, True], ids=["alone", "beside the catalogue's file"])
@pytest.mark.parametrize("place", [Path.symlink_to, Path.hardlink_to], ids=["link", "file"])
def test_each_listed_name_runs_the_file_beside_it(
    place: Callable[[Path, Path], None], pulled: bool, tmp_path: Path, models: Path
) -> None:
    """Also where somebody gives a file of theirs the name that the catalogue has for another."""
    mine = models / f"{CATALOGUE[0].name}.gguf"
    place(mine, write_tiny_model(tmp_path / "elsewhere.gguf"))
    write_tiny_model(models / "another.gguf")
    if pulled:
        write_tiny_model(models / CATALOGUE[0].file_name, n_layer=1)
    registry, shown = ModelRegistry(make_config(tmp_path)), listed(tmp_path)
    assert str(mine) in {model.path for model in shown.values()}
    assert {name: str(registry.find(name).path) for name in shown} == {name: m.path for name, m in shown.items()}


def test_a_header_tells_what_the_file_holds_and_takes(tmp_path: Path, models: Path) -> None:
    path = write_tiny_model(models / "tiny.gguf")
    artifact = ModelRegistry(make_config(tmp_path)).resolve(str(path))
    tiny = listed(tmp_path)["tiny"]
    assert (tiny.architecture, tiny.parameters) == ("llama", artifact.parameters_total)
    assert tiny.tensor_types == {"F32": len(artifact.tensors)}
    assert (tiny.licence, tiny.context_length, tiny.reason) == (None, 256, "")
    assert tiny.weights_bytes == artifact.weights_bytes()["reference"]
    buffers = default_activation_bytes(
        artifact.activation_row_bytes["reference"], artifact.logits_row_bytes, artifact.shared_step_bytes
    )
    assert tiny.memory_bytes == tiny.weights_bytes + 256 * artifact.kv_bytes_per_token["f16"] + buffers


def test_the_catalogue_says_of_its_model_what_the_file_says(smollm2_path: Path, tmp_path: Path, models: Path) -> None:
    (models / CATALOGUE[0].file_name).symlink_to(smollm2_path)
    model = listed(tmp_path)[CATALOGUE[0].name]
    assert model.installed
    assert (model.architecture, model.parameters) == (CATALOGUE[0].architecture, CATALOGUE[0].parameters)
    assert model.licence in (None, CATALOGUE[0].licence)


def test_the_licence_is_the_files_own(tmp_path: Path, models: Path) -> None:
    with new_gguf(models / "free.gguf", "llama") as writer:
        writer.add_license("mit")
    free = listed(tmp_path)["free"]
    assert (free.licence, free.memory_bytes) == ("mit", None)
    assert "no weights" in free.reason


def test_a_broken_file_is_a_line_that_says_so(tmp_path: Path, models: Path) -> None:
    whole = write_tiny_model(models / "whole.gguf").read_bytes()
    (models / "text.gguf").write_text("hello")
    (models / "empty.gguf").touch()
    for length in random.Random(0).sample(range(len(whole)), 20):
        (models / f"cut-{length}.gguf").write_bytes(whole[:length])
    found = listed(tmp_path)
    assert found["whole"].reason == ""
    broken = [model for name, model in found.items() if name not in ("whole", CATALOGUE[0].name)]
    assert len(broken) == 22
    assert all(model.reason.startswith("broken: ") and model.parameters is None for model in broken)


def test_what_is_no_file_is_not_looked_into(tmp_path: Path, models: Path) -> None:
    os.mkfifo(models / "pipe.gguf")
    (models / "folder.gguf").mkdir()
    (models / "nowhere.gguf").symlink_to(models / "gone.gguf")
    assert list(listed(tmp_path)) == [CATALOGUE[0].name]


def test_what_cannot_be_run_says_why(tmp_path: Path, models: Path) -> None:
    write_tiny_model(models / "other.gguf", architecture="t5")
    g.ModelBytes().with_tensor(g.Tensor("blk.0.attn_k.weight", (256, 8), 40, bytes(4096))).write(models / "nvfp4.gguf")
    found = listed(tmp_path)
    assert (found["other"].architecture, found["other"].memory_bytes) == ("t5", None)
    assert "'t5'" in found["other"].reason
    assert "NVFP4 (1 tensors), such as 'blk.0.attn_k.weight'" in found["nvfp4"].reason
    assert found["nvfp4"].tensor_types == {"F32": 10, "NVFP4": 1}


@pytest.mark.parametrize("name", [b"a\xff.gguf", b"\xfe\xff.GGUF", b"hf\xe4.part"])
def test_an_odd_name_hides_no_other_model(name: bytes, tmp_path: Path, models: Path) -> None:
    write_tiny_model(models / "tiny.gguf")
    (models / os.fsdecode(name)).write_bytes((models / "tiny.gguf").read_bytes())
    found = listed(tmp_path)
    assert found["tiny"].memory_bytes is not None
    odd = [model for model in found.values() if "no UTF-8" in (model.reason or "")]
    assert len(odd) == (not name.endswith(b".part"))
    for model in found.values():
        assert (model.name + model.path).isprintable()  # surrogates are not


def test_a_file_that_did_not_change_is_not_opened_again(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_model(models / "tiny.gguf")
    (models / "text.gguf").write_text("hello")
    before = listed(tmp_path)
    with monkeypatch.context() as closed:
        closed.setattr(_core, "GgufFile", None)
        assert listed(tmp_path) == before
    write_tiny_model(path, n_layer=1)
    assert (listed(tmp_path)["tiny"].parameters or 0) < (before["tiny"].parameters or 0)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"a": 1}'])
def test_a_damaged_memory_costs_time_only(tmp_path: Path, models: Path, damage: bytes) -> None:
    write_tiny_model(models / "tiny.gguf")
    before = listed(tmp_path)
    (tmp_path / "cache" / "model-headers.json").write_bytes(damage)
    assert listed(tmp_path) == before


def test_another_backend_takes_other_memory(tmp_path: Path, models: Path) -> None:
    write_tiny_model(models / "tiny.gguf")
    listed(tmp_path)
    config = make_config(tmp_path)
    directory = ModelRegistry(config).directory
    other = {model.name: model for model in list_models(directory, ModelHeaders(config, "cpu_avx2"))}
    artifact = ModelRegistry(config).resolve("tiny")
    assert other["tiny"].weights_bytes == artifact.weights_bytes()["cpu_avx2"]


def test_a_split_model_is_one_line(tmp_path: Path, models: Path) -> None:
    g.ModelBytes().write(models / "whole.gguf")
    parts = part_paths(SplitModel().write(models, "big"))
    big = listed(tmp_path)["big"]
    assert (big.files, big.size_bytes) == (3, sum(part.stat().st_size for part in parts))
    header = ModelHeader.model_fields
    assert big.model_dump(include={*header}) == listed(tmp_path)["whole"].model_dump(include={*header})
    assert (big.reason, len(listed(tmp_path))) == ("", 3)
    parts[1].unlink()
    assert listed(tmp_path)["big"].reason == "broken: big-00002-of-00003.gguf is missing"


def test_what_is_on_its_way_says_how_far_it_has_come(tmp_path: Path, models: Path) -> None:
    directory = models / "hf" / "owner" / "repo"
    directory.mkdir(parents=True)
    (directory / ".m.gguf.0123456789abcdef-1000.part").write_bytes(bytes(400))
    coming = listed(tmp_path)["hf:owner/repo/m.gguf"]
    assert (coming.installed, coming.path, coming.source) == (False, "", "hub")
    assert (coming.arrived_bytes, coming.size_bytes) == (400, 1000)
    write_tiny_model(directory / "m.gguf")
    here = listed(tmp_path)["hf:owner/repo/m.gguf"]
    assert (here.installed, here.arrived_bytes, here.architecture) == (True, 400, "llama")
