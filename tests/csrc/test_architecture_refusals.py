"""What a file of an architecture says and the engine does not have, or cannot be: refused by name when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import _core
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.tiny_models import tiny_prompt

UNSUPPORTED: list[tuple[str, dict[str, Any]]] = [
    ("ernie4_5-moe", {"interleave_moe_layer_step": 2}),
    ("glm4moe", {"expert_gating_func": 3}),
    ("deepseek2", {"expert_group_count": 4, "expert_gating_func": 1}),
    ("deepseek2", {"attention.temperature_scale": 0.1}),
    ("glm4", {"rope.dimension_sections": [4, 4, 4, 0]}),
    ("qwen2vl", {"rope.dimension_sections": [2, 2, 2, 2]}),
    ("qwen3", {"attention.head_count_kv": [2, 0, 2, 2]}),
    ("qwen3", {"attention.head_count_kv": [2, 1, 2, 1]}),
    ("hunyuan-dense", {"rope.scaling.alpha": 1000.0}),
    ("ernie4_5", {"nextn_predict_layers": 9}),
    ("lfm2", {"nextn_predict_layers": 1}),
    ("qwen3", {"attention.value_length": 16}),
    ("deepseek2", {"attention.value_length_mla": 512}),
]
MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("deepseek2", {"expert_group_count": 3}, "expert_group_count"),
    ("deepseek2", {"expert_group_used_count": 5}, "expert_group_count"),
    ("deepseek2", {"expert_group_count": 8}, "expert_group_count"),
    ("deepseek2", {"rope.dimension_count": 16}, "attention.kv_lora_rank"),
    ("deepseek2", {"rope.scaling.yarn_log_multiplier": 0.0}, "rope.scaling.yarn_log_multiplier"),
    ("lfm2", {"shortconv.l_cache": 1}, "shortconv.l_cache"),
    ("lfm2", {"attention.head_count_kv": [0, 0, 0, 0, 0, 2]}, "attention.head_count_kv' has 6 entries"),
    ("glm4moe", {"nextn_predict_layers": 9}, "nextn_predict_layers' leaves no layer"),
    ("glm4moe", {"leading_dense_block_count": 9}, "leading_dense_block_count' leaves no layer with experts"),
    ("qwen3", {"feed_forward_length": [160]}, "feed_forward_length' has 1 entries"),
    ("qwen3", {"attention.head_count": 3}, "attention.head_count' is not a multiple of key"),
    ("qwen2vl", {"rope.dimension_sections": "abc"}, "rope.dimension_sections' holds no sizes"),
    ("qwen2vl", {"rope.dimension_sections": [2, -2, 2, 0]}, "rope.dimension_sections' holds no sizes"),
]


def changed(folder: Path, case: str, keys: dict[str, Any]) -> Path:
    options = {**CASES[case], "keys": {**CASES[case].get("keys", {}), **keys}}
    return write_architecture_model(folder / "model.gguf", **options)


@pytest.mark.parametrize(("case", "keys"), UNSUPPORTED)
def test_a_setting_that_an_architecture_has_no_place_for(case: str, keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(_core.UnsupportedModelError, match=next(iter(keys))):
        _core.Model.load(str(changed(tmp_path, case, keys)), "reference", 1)


@pytest.mark.parametrize(("case", "keys", "match"), MALFORMED)
def test_a_setting_that_does_not_fit_the_others(case: str, keys: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(_core.GgufError, match=match):
        _core.Model.load(str(changed(tmp_path, case, keys)), "reference", 1)


def test_layers_that_are_not_there_take_no_time(tmp_path: Path) -> None:
    """Neither those that are run nor those that are not: a small file may name a quarter of a billion of each."""
    path = changed(tmp_path, "glm4moe", {"block_count": 1 << 28, "nextn_predict_layers": (1 << 28) - 4})
    with pytest.raises(_core.GgufError, match="more than the file has tensors"):
        _core.weights_size(_core.GgufFile(str(path)), "reference")


def test_a_bias_that_nothing_adds_has_no_place(tmp_path: Path) -> None:
    path = write_architecture_model(tmp_path / "model.gguf", **{**CASES["deepseek2"], "head_biases": True})
    with pytest.raises(_core.UnsupportedModelError, match=r"attn_[kv]_b\.bias.* has no place"):
        _core.Model.load(str(path), "reference", 1)


def test_a_position_without_a_vector(tmp_path: Path) -> None:
    """Before anything is computed."""
    model = _core.Model.load(str(changed(tmp_path, "gpt2", {})), "reference", 1)
    whole = tiny_prompt(CASES["gpt2"].get("context_length", 256))
    assert model.logits([whole])[0].shape[0] == len(whole)
    with pytest.raises(ValueError, match="256"):
        model.logits([[*whole, 1]])
