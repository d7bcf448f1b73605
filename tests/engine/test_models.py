from __future__ import annotations

import json
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine import _core
from engine.artifact.content_hash import unread_files_told
from engine.artifact.unread_files import UnreadFiles
from engine.config import EngineConfig, default_config
from engine.fetch.catalogue import CATALOGUE
from engine.fetch.pull_watch import PullWatch
from engine.models.model_advice import advise
from engine.models.model_description import describe_model
from engine.models.registry import ModelRegistry
from protocol.errors import AmbiguousModel, InvalidModel, InvalidRequest, UnknownModel, UnsupportedModel
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import write_tiny_model


def make_config(directory: Path) -> EngineConfig:
    (directory / "models").mkdir(exist_ok=True)
    return EngineConfig(directory / "models", directory / "cache", directory)


def make_registry(directory: Path) -> ModelRegistry:
    return ModelRegistry(make_config(directory))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    make_config(tmp_path)
    return write_tiny_model(tmp_path / "models" / "Tiny-Llama.gguf")


def test_the_bytes_of_a_token_are_those_the_core_takes(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "wide.gguf", n_embd=128, n_head=2, n_head_kv=1)
    sizes = make_registry(tmp_path).resolve(str(path)).kv_bytes_per_token
    model = _core.Model.load(str(path), "reference", 1)
    assert sizes == {"f16": 2 * 128 * 2, "q8_0": 2 * 2 * (64 + 2 * 2)}
    assert sizes == {name: model.kv_bytes_per_token(name) for name in sizes}


@pytest.mark.parametrize("name", ["Tiny-Llama", "tiny-llama", "TINY-LLAMA.GGUF", "Tiny-Llama.gguf"])
def test_a_file_in_the_models_directory_has_a_name(tmp_path: Path, installed: Path, name: str) -> None:
    artifact = make_registry(tmp_path).resolve(name)
    assert (artifact.path, artifact.name) == (installed, "Tiny-Llama")


@pytest.mark.parametrize("alias", ["mine", "MINE"])
def test_an_alias_is_another_name(tmp_path: Path, installed: Path, alias: str) -> None:
    config = replace(make_config(tmp_path), aliases={"mine": "Tiny-Llama"})
    assert ModelRegistry(config).resolve(alias).path == installed
    with pytest.raises(UnknownModel, match="'gone'"):
        ModelRegistry(replace(config, aliases={"mine": "gone"})).resolve("mine")


@pytest.mark.parametrize(("given", "read"), [("", {}), ("A=b, c = d", {"a": "b", "c": "d"})])
def test_aliases_come_from_the_environment(given: str, read: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ALIASES", given)
    assert default_config().aliases == read


@pytest.mark.parametrize("given", ["a", "a=", "=b", "a=b,c"])
def test_aliases_without_a_model_are_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ALIASES", given)
    with pytest.raises(InvalidRequest, match="ENGINE_ALIASES"):
        default_config()


def test_a_name_that_is_nearly_right_is_told_the_right_one(tmp_path: Path, installed: Path) -> None:
    with pytest.raises(UnknownModel, match="did you mean tiny-llama"):
        make_registry(tmp_path).resolve("tiny-lama")


@pytest.mark.parametrize("name", ["~\0/a.gguf", "~nobody-here/a.gguf", "/a\0.gguf", "/" + "a" * 5000, "a/" * 2000, ""])
def test_what_can_be_no_path_is_unknown(tmp_path: Path, name: str) -> None:
    for look in (make_registry(tmp_path).find, make_registry(tmp_path).resolve):
        with pytest.raises(UnknownModel):
            look(name)


def test_any_path_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_model(tmp_path / "here.gguf")
    registry = make_registry(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert registry.resolve(str(path)) is registry.resolve("./here.gguf")
    with pytest.raises(UnknownModel):
        registry.resolve("here.gguf")


def test_an_artifact_says_what_the_file_holds(tmp_path: Path, installed: Path) -> None:
    artifact = make_registry(tmp_path).resolve("Tiny-Llama")
    assert (artifact.architecture, artifact.stored_types, artifact.context_length) == ("llama", ("F32",), 256)
    assert artifact.kv_bytes_per_token == {"f16": 2 * 2 * (16 + 16) * 2}  # layers, KV heads, key and value, f16
    matrices = [tensor for tensor in artifact.tensors if len(tensor.shape) > 1]
    assert artifact.weights_bytes()["reference"] == sum(tensor.size_bytes for tensor in matrices)
    assert artifact.weights_bytes()["cpu_avx2"] >= artifact.weights_bytes()["reference"]
    assert artifact.weights_bytes()["cpu_avx512"] == artifact.weights_bytes()["cpu_avx2"]
    facts = artifact.facts()
    assert facts.ref.path == str(installed)
    assert facts.ref.content_hash.startswith("sha256:")
    assert facts.eos_token_ids == artifact.tokenizer.eos_token_ids


def test_the_tokenizer_is_built_once_for_all_threads(tmp_path: Path, installed: Path) -> None:
    artifact = make_registry(tmp_path).resolve(str(installed))
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(artifact.tokenizer)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(tokenizer) for tokenizer in seen}) == 1


def test_a_file_that_changes_is_read_anew(tmp_path: Path, installed: Path) -> None:
    registry = make_registry(tmp_path)
    before = registry.resolve("Tiny-Llama").facts()
    write_tiny_model(installed, n_layer=1)
    after = registry.resolve("Tiny-Llama").facts()
    assert before.ref.content_hash != after.ref.content_hash
    assert before.weights_bytes["reference"] > after.weights_bytes["reference"]


HUB_NAME = "hf:Owner/Repo-GGUF/Tiny-Q8.gguf"


@pytest.fixture
def from_hub(tmp_path: Path) -> Path:
    make_config(tmp_path)
    path = tmp_path / "models" / "hf" / "Owner" / "Repo-GGUF" / "Tiny-Q8.gguf"
    path.parent.mkdir(parents=True)
    return write_tiny_model(path)


@pytest.mark.parametrize(
    "name",
    [HUB_NAME, HUB_NAME.lower(), "hf://Owner/Repo-GGUF/Tiny-Q8.gguf", "hf:owner/repo-gguf", "Tiny-Q8", "tiny-q8.gguf"],
)
def test_a_model_of_the_hub_goes_by_its_reference_and_by_shorter_names(
    tmp_path: Path, from_hub: Path, name: str
) -> None:
    artifact = make_registry(tmp_path).resolve(name)
    assert (artifact.path, artifact.name) == (from_hub, HUB_NAME)
    assert artifact.facts().ref.name == HUB_NAME


def test_a_name_that_two_models_go_by_is_refused(tmp_path: Path, from_hub: Path) -> None:
    other = tmp_path / "models" / "hf" / "Another" / "Repo" / from_hub.name
    other.parent.mkdir(parents=True)
    write_tiny_model(other)
    registry = make_registry(tmp_path)
    with pytest.raises(AmbiguousModel) as raised:
        registry.resolve("tiny-q8")
    assert raised.value.params["files"] == ["hf:Another/Repo/Tiny-Q8.gguf", HUB_NAME]
    assert registry.resolve("hf:another/repo").path == other
    # A file of one's own goes before the hub's.
    own = write_tiny_model(tmp_path / "models" / "tiny-q8.gguf")
    assert registry.resolve("tiny-q8").path == own


def test_a_revision_is_another_model(tmp_path: Path, from_hub: Path) -> None:
    directory = tmp_path / "models" / "hf" / "Owner" / "Repo-GGUF@v1"
    directory.mkdir()
    path = write_tiny_model(directory / from_hub.name, n_layer=1)
    registry = make_registry(tmp_path)
    assert registry.resolve("hf:Owner/Repo-GGUF/Tiny-Q8.gguf@v1").path == path
    assert registry.resolve("hf:Owner/Repo-GGUF@v1").path == path
    assert registry.resolve("hf:Owner/Repo-GGUF").path == from_hub


def test_a_model_of_the_hub_that_is_not_pulled_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"models pull hf:owner/repo/m\.gguf"):
        make_registry(tmp_path).resolve("hf://owner/repo/m.gguf")
    with pytest.raises(InvalidRequest, match="hf:OWNER/REPO"):
        make_registry(tmp_path).resolve("hf:owner")


def test_a_split_model_goes_by_its_first_part_and_by_what_all_begin_with(tmp_path: Path) -> None:
    make_config(tmp_path)
    first = write_tiny_model(tmp_path / "models" / "big-00001-of-00002.gguf")
    write_tiny_model(tmp_path / "models" / "big-00002-of-00002.gguf")
    registry = make_registry(tmp_path)
    for name in ("big", "big-00001-of-00002", "big-00001-of-00002.gguf"):
        assert registry.find(name).path == first
    with pytest.raises(UnknownModel):
        registry.find("big-00002-of-00002")


def test_what_no_source_has_cannot_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="hf:OWNER/REPO"):
        make_registry(tmp_path).pull("nonsense", PullWatch())


def test_an_unknown_name_is_told_what_there_is(tmp_path: Path, installed: Path) -> None:
    with pytest.raises(UnknownModel, match="engine-ctl models pull") as raised:
        make_registry(tmp_path).resolve("nonsense")
    assert raised.value.params["known"] == [CATALOGUE[0].name, "Tiny-Llama"]


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b", "~nobody-here/x.gguf", "x" * 300, "../../etc"])
def test_odd_names_are_unknown_or_invalid(tmp_path: Path, name: str) -> None:
    with pytest.raises((UnknownModel, InvalidModel)):
        make_registry(tmp_path).resolve(name)


def test_a_catalogue_name_that_is_not_pulled_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=f"models pull {CATALOGUE[0].name}"):
        make_registry(tmp_path).resolve(CATALOGUE[0].name.upper())


def test_a_file_that_is_no_gguf_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(InvalidModel):
        make_registry(tmp_path).resolve(str(tmp_path / "text.gguf"))


def test_a_truncated_file_is_invalid_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = write_tiny_model(tmp_path / "whole.gguf").read_bytes()
    registry = make_registry(tmp_path)
    lengths = random.Random(0).sample(range(len(whole)), 50)
    for length in lengths:
        cut = tmp_path / f"cut-{length}.gguf"
        cut.write_bytes(whole[:length])
        with pytest.raises(InvalidModel):
            registry.resolve(str(cut)).facts()


def test_a_vocabulary_tokenizes_and_does_not_run(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "vocabulary.gguf", weights=False)
    artifact = make_registry(tmp_path).resolve(str(path))
    assert artifact.tokenizer.encode("Hello")
    with pytest.raises(UnsupportedModel, match="no weights"):
        artifact.facts()


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "t5.gguf", architecture="t5")
    with pytest.raises(UnsupportedModel, match="'t5'") as raised:
        make_registry(tmp_path).resolve(str(path)).facts()
    assert {"gemma3", "llama", "qwen2"} <= set(raised.value.params["allowed"])


def test_a_model_advises_what_its_file_says(tmp_path: Path) -> None:
    said = {"temp": 0.6, "top_k": 20, "top_p": 0.95, "penalty_repeat": 1.05, "penalty_last_n": -1, "mirostat": 0}
    registry = make_registry(tmp_path)
    advised = advise(registry.resolve(str(write_tiny_model(tmp_path / "a.gguf", sampling=said))))
    assert advised.sampling == {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "repeat_penalty": 1.05}
    assert advised.ignored == ("general.sampling.penalty_last_n",)
    assert (advised.name, advised.chat_template) == ("a", True)
    silent = advise(registry.resolve(str(write_tiny_model(tmp_path / "b.gguf", chat_template=None))))
    assert (silent.chat_template, silent.sampling, silent.ignored) == (False, {}, ())


def test_a_description_is_whole_and_fit_for_json(tmp_path: Path, installed: Path) -> None:
    description = describe_model(make_registry(tmp_path).resolve("tiny-llama"), "reference")
    assert (description.architecture, description.gguf_version) == ("llama", 3)
    assert description.metadata["tokenizer.ggml.tokens"]["element_type"].lower() == "string"
    assert description.metadata["llama.context_length"] == 256
    assert description.parameters_total == sum(tensor.size_bytes for tensor in description.tensors) // 4
    json.dumps(description.model_dump(mode="json"), allow_nan=False)


def test_open_artifacts_are_bounded(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    paths = [str(write_tiny_model(tmp_path / f"{number}.gguf", weights=False)) for number in range(18)]
    first = registry.resolve(paths[0])
    for path in paths[1:]:
        registry.resolve(path)
    assert registry.resolve(paths[0]) is not first
    assert registry.resolve(paths[-1]) is registry.resolve(paths[-1])


def test_a_tensor_type_without_kernels_is_named(tmp_path: Path) -> None:
    model = g.ModelBytes().with_tensor(g.Tensor("blk.0.attn_k.weight", (256, 8), 40, bytes(4096)))
    path = model.write(tmp_path / "nvfp4.gguf")
    artifact = make_registry(tmp_path).resolve(str(path))
    with pytest.raises(UnsupportedModel, match=r"NVFP4 \(1 tensors\), such as 'blk.0.attn_k.weight'.*Q4_K_M"):
        artifact.require_runnable()


def test_a_shape_that_no_graph_has_is_refused_before_a_plan_is_made(tmp_path: Path) -> None:
    values = g.ModelBytes().having(llama__attention__value_length=g.u32(16)).write(tmp_path / "values.gguf")
    with pytest.raises(UnsupportedModel, match="another width"):
        make_registry(tmp_path).resolve(str(values)).facts()
    heads = g.ModelBytes().having(llama__attention__head_count=g.u32(3), llama__attention__head_count_kv=g.u32(2))
    with pytest.raises(InvalidModel, match="multiple"):
        make_registry(tmp_path).resolve(str(heads.write(tmp_path / "heads.gguf"))).facts()


def test_a_large_file_that_goes_before_it_is_read_is_a_changed_model(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.artifact.content_hash._AT_ONCE_BYTES", 1)
    artifact = make_registry(tmp_path).resolve("Tiny-Llama")
    with unread_files_told(), pytest.raises(UnreadFiles) as unread:
        artifact.facts()
    installed.unlink()
    with pytest.raises(InvalidModel, match="changed"):
        unread.value.read()
