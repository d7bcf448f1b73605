"""Weights that are NaN or infinite are refused when they are loaded, whichever tensor has them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.support.architecture_models import CASES, DEEP_CASES, write_architecture_model
from tests.support.blocks import LAYOUTS, TENSOR_TYPES
from tests.support.damaged_models import ModelFile, StoredTensor
from tests.support.gguf_factory import has_super_blocks, write_tiny_model
from tests.support.kernel_tables import ALL_TABLES

pytestmark = pytest.mark.slow

VALUES = [np.nan, np.inf, -np.inf]
_directory = tempfile.TemporaryDirectory(prefix="whole-models-")


@functools.cache
def architecture_file(case: str, type_name: str) -> ModelFile:
    path = Path(_directory.name) / f"{case}-{type_name}.gguf"
    options = {**CASES[case], "tensor_type": type_name, "unused_layers": 0}  # which are not even read
    return ModelFile(write_architecture_model(path, **options))


@functools.cache
def typed_file(type_name: str, *, tied: bool) -> ModelFile:
    wide = {"n_embd": 256, "n_ff": 256} if has_super_blocks(type_name) else {}
    path = Path(_directory.name) / f"{type_name}-{tied}.gguf"
    return ModelFile(write_tiny_model(path, architecture="qwen2", tensor_type=type_name, tied=tied, **wide))


def assert_refused(path: Path, table: str, tensor: StoredTensor, row: int, threads: int = 1) -> None:
    with pytest.raises(_core.NonFiniteWeightsError, match="not finite") as refusal:
        _core.Model.load(str(path), table, threads)
    assert (refusal.value.tensor, refusal.value.row) == (tensor.name, row)
    assert f"'{tensor.name}'" in str(refusal.value)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("type_name", ["F32", "Q8_0"])
@pytest.mark.parametrize("case", [case for case in CASES if case not in DEEP_CASES])
def test_one_in_any_kind_of_tensor_of_any_architecture(tmp_path: Path, case: str, type_name: str, table: str) -> None:
    file = architecture_file(case, type_name)
    _core.Model.load(str(file.path), table, 1)  # whole, it is well-formed
    for number, tensor in enumerate(file.one_of_each_kind):
        row = number * 7 % tensor.rows
        for value in (np.nan, np.inf):
            path = file.with_value(tmp_path / "damaged.gguf", tensor, row, value, at=(number % 5) / 5)
            assert_refused(path, table, tensor, row)


@pytest.mark.parametrize("table", ALL_TABLES[-1:])
@pytest.mark.parametrize("case", DEEP_CASES)
def test_one_in_any_kind_of_tensor_of_a_model_of_many_layers(tmp_path: Path, case: str, table: str) -> None:
    file = architecture_file(case, "F32")
    for tensor in file.one_of_each_kind:
        path = file.with_value(tmp_path / "damaged.gguf", tensor, tensor.rows - 1, np.nan)
        assert_refused(path, table, tensor, tensor.rows - 1)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_one_in_any_type_of_tensor(tmp_path: Path, type_name: str, tied: bool, table: str) -> None:
    file = typed_file(type_name, tied=tied)
    for tensor in file.one_of_each_kind:
        for value in VALUES:
            for row in {0, tensor.rows - 1}:
                path = file.with_value(tmp_path / "damaged.gguf", tensor, row, value)
                assert_refused(path, table, tensor, row)
        layout = LAYOUTS.get(tensor.type_name)
        if layout is not None and layout.minimum_at is not None:
            path = file.with_minimum(tmp_path / "damaged.gguf", tensor, tensor.rows // 2, np.nan)
            assert_refused(path, table, tensor, tensor.rows // 2)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_power_of_two_by_which_values_leave_the_floats(tmp_path: Path, table: str) -> None:
    """MXFP4: 2^(exponent - 128) times up to 12."""
    file = typed_file("MXFP4", tied=False)
    tensor = file.tensors["blk.1.ffn_up.weight"]
    for exponent, loads in ((252, True), (253, False), (254, False), (255, False)):
        path = file.having(tmp_path / "damaged.gguf", {tensor.begin + 5 * tensor.row_bytes: bytes([exponent])})
        if loads:
            _core.Model.load(str(path), table, 1)
        else:
            assert_refused(path, table, tensor, 5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_find_the_same(tmp_path: Path, threads: int) -> None:
    """One value is damaged in each thread's part of a matrix; the error names one of them."""
    file = typed_file("Q4_1", tied=False)
    tensor = file.tensors["blk.0.ffn_gate.weight"]
    path = file.with_value(tmp_path / "damaged.gguf", tensor, tensor.rows - 1, np.nan)
    assert_refused(path, ALL_TABLES[0], tensor, tensor.rows - 1, threads)


def test_every_scale_that_is_finite_loads(tmp_path: Path) -> None:
    file = typed_file("Q4_1", tied=False)
    tensor = file.tensors["blk.0.ffn_gate.weight"]
    for value in (0.0, -0.0, 65504.0, -65504.0, 6e-8):
        _core.Model.load(str(file.with_value(tmp_path / "whole.gguf", tensor, 3, value)), "reference", 1)
