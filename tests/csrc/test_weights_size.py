"""What weights take in memory, and what of them a token that is generated alone has to read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.kernel_tables import ALL_TABLES

pytestmark = pytest.mark.slow

MOE = ("llama_experts_wide", "olmoe_wide", "qwen2moe_wide", "qwen3moe_wide", "gpt-oss_wide")
PACKED = [table for table in _core.kernel_tables() if table != "reference"]


def opened(directory: Path, case: str, **changes: Any) -> _core.GgufFile:
    path = directory / f"{len(list(directory.iterdir()))}.gguf"
    write_architecture_model(path, **ALL_CASES[case] | changes)
    return _core.GgufFile(str(path))


def sizes(file: _core.GgufFile) -> dict[str, int]:
    return {tensor.name: tensor.size_bytes for tensor in file.tensors() if is_matrix(tensor)}


def is_matrix(tensor: _core.TensorInfo) -> bool:
    return (len(tensor.shape) > 1 and not tensor.name.endswith(".bias")) or tensor.name.endswith(
        "ffn_gate_inp_shexp.weight"
    )


@pytest.mark.parametrize("tensor_type", ["Q8_0", "Q4_K"])
@pytest.mark.parametrize("case", MOE)
def test_a_token_reads_the_experts_that_it_uses_and_what_all_share(case: str, tensor_type: str, tmp_path: Path) -> None:
    file = opened(tmp_path, case, tensor_type=tensor_type)
    used, count = (file.get(f"{file.get('general.architecture')}.expert{key}") for key in ("_used_count", "_count"))
    read = 0
    for name, size in sizes(file).items():
        share = used / count if "_exps." in name else 1.0
        read += round(size * share) if name != "token_embd.weight" else 0
    vocabulary = next(tensor.shape[0] for tensor in file.tensors() if tensor.name == "token_embd.weight")
    row = sizes(file)["token_embd.weight"] // vocabulary
    memory, token = _core.weights_size(file, "reference")
    assert (memory, token) == (sum(sizes(file).values()), read + row)


@pytest.mark.parametrize("table", _core.kernel_tables())
@pytest.mark.parametrize("case", MOE)
def test_one_expert_more_is_as_much_more_to_read_and_takes_no_memory(case: str, table: str, tmp_path: Path) -> None:
    found = [
        _core.weights_size(opened(tmp_path, case, tensor_type="Q8_0", experts_used=used), table) for used in (1, 2, 6)
    ]
    (memory, one), (_, two), (_, all_of_them) = found
    assert {memory for memory, _ in found} == {memory}
    assert all_of_them - one == 5 * (two - one) > 0


@pytest.mark.parametrize("table", _core.kernel_tables())
def test_of_a_token_embedding_one_row_is_read_unless_it_is_the_head(table: str, tmp_path: Path) -> None:
    file, tied = (opened(tmp_path, "llama", tensor_type="Q8_0", tied=tied) for tied in (False, True))
    embedding = sizes(file)["token_embd.weight"]
    row = embedding // next(tensor.shape[0] for tensor in file.tensors() if tensor.name == "token_embd.weight")
    memory, token = _core.weights_size(file, table)
    assert memory - token == embedding - row
    assert _core.weights_size(tied, table)[1] == token


@pytest.mark.parametrize("table", PACKED)
def test_the_head_is_read_as_it_is_packed(table: str, tmp_path: Path) -> None:
    file = opened(tmp_path, "gemma", tensor_type="Q8_0")
    memory, token = _core.weights_size(file, table)
    assert token > _core.weights_size(file, "reference")[1]
    row = sizes(file)["token_embd.weight"] // next(t.shape[0] for t in file.tensors() if t.name == "token_embd.weight")
    assert token == memory + row  # the embedding is the head, and in memory once


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("tensor_type", ["F16", "Q8_0", "Q5_1"])
@pytest.mark.parametrize("case", ["llama", "qwen2moe_wide", "phi3", "glm4moe", "gpt2", "deepseek2", "lfm2"])
def test_a_loaded_model_takes_what_was_said_of_its_file(
    case: str, tensor_type: str, table: str, tied: bool, tmp_path: Path
) -> None:
    file = opened(tmp_path, case, tensor_type=tensor_type, tied=tied)
    assert _core.Model.load(file, table, 2).weights_bytes == _core.weights_size(file, table)[0]


def test_other_types_than_the_files_are_counted(tmp_path: Path) -> None:
    file = opened(tmp_path, "llama", tensor_type="Q8_0")
    types = {tensor.name: "F32" if is_matrix(tensor) else tensor.type for tensor in file.tensors()}
    elements = {tensor.name: math.prod(tensor.shape) for tensor in file.tensors() if is_matrix(tensor)}
    assert _core.weights_size(file, "reference", types)[0] == 4 * sum(elements.values())


def test_experts_of_a_model_that_has_none_end_no_process(tmp_path: Path) -> None:
    odd = g.Tensor("blk.0.ffn_up_exps.weight", (16, 32, 2), data=bytes(4 * 16 * 32 * 2))
    path = g.ModelBytes().with_tensor(odd).write(tmp_path / "odd.gguf")
    assert _core.weights_size(_core.GgufFile(str(path)), "reference", {})[0] > 0
    with pytest.raises(_core.UnsupportedModelError, match=r"ffn_up_exps\.weight' has no place"):
        _core.Model.load(str(path), "reference", 1)
