"""Which experts a row uses."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from engine import _core
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, assert_same_bits
from tests.support.tiny_models import tiny_prompt

USED = CASES["olmoe"]["experts_used"]


def overwrite(path: Path, suffix: str, change: Floats | float, first: int = 0) -> None:
    """Every tensor of that name in a layer, its experts from ``first`` on."""
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        if tensor.name.endswith(f"{suffix}.weight"):
            tensor.data[first:] = change


def logits(path: Path, table: str) -> Floats:
    (found,) = _core.Model.load(str(path), table, 2).logits([tiny_prompt(20)], threads=2)
    return found


@pytest.mark.parametrize("table", ALL_TABLES)
def test_of_equally_probable_experts_those_of_lower_index_are_used(table: str, tmp_path: Path) -> None:
    path = write_architecture_model(tmp_path / "model.gguf", **CASES["olmoe"])
    overwrite(path, "ffn_gate_inp", 0.0)
    expected = logits(path, table)
    overwrite(path, "ffn_down_exps", 3e38, first=USED)
    assert_same_bits(logits(path, table), expected)
    overwrite(path, "ffn_down_exps", 3e38, first=USED - 1)
    with pytest.raises(_core.NonFiniteResultError, match="feed-forward of layer 0"):
        logits(path, table)
