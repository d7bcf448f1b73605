"""Weights that are no numbers: an error of the one sequence, and never an answer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from engine import _core
from tests.csrc.blocks import LAYOUTS
from tests.csrc.kernel_tables import ALL_TABLES
from tests.csrc.loop_bench import LoopBench
from tests.csrc.tiny_models import tiny_model, tiny_vocabulary
from tests.gguf_factory import has_super_blocks, write_tiny_model


def write_damaged_model(path: Path, value: float) -> Path:
    write_tiny_model(path)
    norm = next(tensor for tensor in gguf.GGUFReader(path, "r+").tensors if tensor.name == "output_norm.weight")
    norm.data[:] = value
    return path


def write_model_with_a_damaged_scale(path: Path, type_name: str) -> Path:
    """One block of the head's has a scale that is no number."""
    wide = {"n_embd": 256, "n_ff": 256} if has_super_blocks(type_name) else {}
    write_tiny_model(path, tensor_type=type_name, tied=False, **wide)
    head = next(tensor for tensor in gguf.GGUFReader(path, "r+").tensors if tensor.name == "output.weight")
    scale_at = LAYOUTS[type_name].scale_at
    head.data[7, scale_at : scale_at + 2] = 0xFF
    return path


MIROSTAT = {"temperature": 0.8, "mirostat_tau": 2.0}
ALL_OTHERS = {"temperature": 0.8, "top_p": 0.9, "typical_p": 0.9, "min_p": 0.1, "top_k": 40, "repeat_penalty": 1.3,
              "dry_multiplier": 0.8, "xtc_probability": 1.0}  # fmt: skip


@pytest.mark.parametrize("sampling", [{}, MIROSTAT, ALL_OTHERS], ids=["greedy", "mirostat", "all others"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_damaged_weights_end_in_an_error_and_their_neighbours_go_on(
    tmp_path: Path, value: float, sampling: dict[str, float]
) -> None:
    damaged = _core.Model.load(str(write_damaged_model(tmp_path / "damaged.gguf", value)), "reference", 1)
    with LoopBench(tiny_vocabulary()) as bench:
        bench.submit(1, damaged, [1, 2, 3], logprobs=3, **sampling)  # type: ignore[arg-type]
        bench.submit(2, tiny_model(), [1, 2, 3])
        bench.finish(1, 2)
        story, neighbour = bench.stories[1], bench.stories[2]
    assert story.stop_reasons == ["error"]
    assert "not finite" in story.error
    assert story.token_ids == []
    assert neighbour.stop_reasons == ["max_tokens"]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("type_name", LAYOUTS)
def test_a_scale_that_is_no_number_is_damage_in_every_type(tmp_path: Path, type_name: str, table: str) -> None:
    path = write_model_with_a_damaged_scale(tmp_path / "damaged.gguf", type_name)
    damaged = _core.Model.load(str(path), table, 1)
    with LoopBench(tiny_vocabulary()) as bench:
        bench.submit(1, damaged, [1, 2, 3])
        bench.finish(1)
        story = bench.stories[1]
    assert story.stop_reasons == ["error"]
    assert "not finite" in story.error
