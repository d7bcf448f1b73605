"""Whole models quantized: the reference's tensors, of its types and in its order, byte for byte."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from engine.weights.importance import read_importance
from tests.csrc.quantizing import quantization
from tests.golden.quantized_data import (
    ARCHITECTURES,
    FULL_SIZE_RECIPES,
    REAL_IMPORTANCE,
    REAL_MODELS,
    RECIPES,
    read_quantized,
    tensor_digests,
)
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.full_size_models import FULL_SIZE_MODELS, write_full_size_model
from tests.support.importance_files import IMPORTANCE_FILES, MODEL
from tests.support.kernel_tables import ALL_TABLES
from tests.support.quantized_models import WIDE_MODELS, importance_for, wide_importance, write_wide_model
from tests.support.real_models import fast_kernel_table, hand_fetched

pytestmark = pytest.mark.slow

GOLDEN = read_quantized()["models"]
Importance = dict[str, npt.NDArray[np.float32]]
WITH_EVERY_TABLE = ("q8_0", "q6_k", "q4_k_m")
"""The other recipes choose among types whose rows every table is held to for themselves."""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gguf"


def quantized(source: Path, target: Path, recipe: str, table: str, importance: Importance | None = None) -> list[str]:
    """The lines of the golden data; none where a number is refused."""
    try:
        quantization(source, recipe, importance=importance, table=table, threads=2).run(str(target))
    except _core.UnquantizableTensorError:
        return []
    digests = tensor_digests(target)
    target.unlink()
    return [f"{name} {digest}" for name, digest in digests.items()]


def golden(name: str, recipe: str) -> list[str]:
    return [f"{tensor} {digest}" for tensor, digest in GOLDEN[name][recipe].items()]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("recipe", WITH_EVERY_TABLE)
@pytest.mark.parametrize("name", WIDE_MODELS)
def test_models_become_the_bytes_of_the_reference_quantizer(
    name: str, recipe: str, table: str, tmp_path: Path, target: Path
) -> None:
    model = WIDE_MODELS[name]
    source = write_wide_model(tmp_path / "source.gguf", model)
    assert quantized(source, target, recipe, table) == golden(name, recipe)
    weights = wide_importance(model)
    assert quantized(source, target, recipe, table, weights) == golden(name, f"{recipe} with importance")


@pytest.mark.parametrize("name", WIDE_MODELS)
def test_models_become_the_bytes_of_the_reference_quantizer_by_every_recipe(
    name: str, tmp_path: Path, target: Path
) -> None:
    model, table = WIDE_MODELS[name], fast_kernel_table()
    source = write_wide_model(tmp_path / "source.gguf", model)
    for recipe in RECIPES:
        assert quantized(source, target, recipe, table) == golden(name, recipe), recipe
        weights = wide_importance(model)
        assert quantized(source, target, recipe, table, weights) == golden(name, f"{recipe} with importance"), recipe


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures_become_the_bytes_of_the_reference_quantizer(
    name: str, tmp_path: Path, target: Path
) -> None:
    """Their tensors get their types by name: latent heads, experts, convolutions and fused matrices among them."""
    source, table = write_architecture_model(tmp_path / "source.gguf", **ALL_CASES[name]), fast_kernel_table()
    for recipe in RECIPES:
        assert quantized(source, target, recipe, table) == golden(name, recipe), recipe
        weights = importance_for(source)
        assert quantized(source, target, recipe, table, weights) == golden(name, f"{recipe} with importance"), recipe


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", REAL_MODELS)
def test_real_models_become_the_bytes_of_the_reference_quantizer(name: str, recipe: str, target: Path) -> None:
    source, table = hand_fetched(REAL_MODELS[name]), fast_kernel_table()
    quantization(source, recipe, table=table, threads=2).run(str(target))
    assert list(tensor_digests(target).items()) == list(GOLDEN[name][recipe].items())
    target.unlink()
    quantization(source, recipe, importance=importance_for(source), table=table, threads=2).run(str(target))
    assert list(tensor_digests(target).items()) == list(GOLDEN[name][f"{recipe} with importance"].items())


@pytest.fixture(scope="module", params=FULL_SIZE_RECIPES)
def full_size(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if request.config.getoption("markexpr") != "models":
        pytest.skip("writes 4 GB: make test-models runs it")
    path = tmp_path_factory.mktemp("full_size") / f"{request.param}.gguf"
    yield write_full_size_model(path, FULL_SIZE_MODELS[request.param])
    path.unlink()


@pytest.mark.models
def test_models_of_full_size_become_the_bytes_of_the_reference_quantizer(full_size: Path, target: Path) -> None:
    golden = read_quantized("full_size_quantized")["models"][full_size.stem]
    for recipe, weights in itertools.product(FULL_SIZE_RECIPES[full_size.stem], (None, importance_for(full_size))):
        quantization(full_size, recipe, importance=weights, table=fast_kernel_table(), threads=2).run(str(target))
        digests = tensor_digests(target)
        target.unlink()
        assert list(digests.items()) == list(golden[recipe if weights is None else f"{recipe} with importance"].items())


@pytest.mark.parametrize("name", IMPORTANCE_FILES)
def test_importance_is_read_from_files_as_the_reference_reads_it(name: str, tmp_path: Path, target: Path) -> None:
    source = write_wide_model(tmp_path / "source.gguf", MODEL)
    values = read_importance(IMPORTANCE_FILES[name](tmp_path / "importance")).values
    quantization(source, importance=values).run(str(target))
    assert tensor_digests(target) == read_quantized()["importance_files"][name]


@pytest.mark.parametrize("path", REAL_IMPORTANCE, ids=lambda path: path.name)
def test_real_importance_is_read_as_the_reference_reads_it(path: Path, target: Path) -> None:
    source = hand_fetched(REAL_MODELS[path.stem])
    values = read_importance(path).values
    quantization(source, importance=values, table=fast_kernel_table(), threads=2).run(str(target))
    assert tensor_digests(target) == read_quantized()["importance_files"][path.name]


def test_importance_changes_the_bytes_and_not_the_types() -> None:
    plain, important = (GOLDEN["llama_1b_f16"][key] for key in ("q4_k_m", "q4_k_m with importance"))
    differ = {name for name in plain if plain[name] != important[name]}
    assert {name.split(".")[2] for name in differ} == {
        "attn_q", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
    }  # fmt: skip
    assert all(plain[name].split()[0] == important[name].split()[0] for name in plain)
