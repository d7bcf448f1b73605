"""What a file of an architecture says and the engine does not have, or cannot be: refused by name when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import _core
from tests.csrc.tiny_models import tiny_prompt
from tests.support.architecture_models import CASES, write_architecture_model

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
]
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("deepseek2", {"expert_group_count": 3}),
    ("deepseek2", {"expert_group_used_count": 5}),
    ("deepseek2", {"expert_group_count": 8}),
    ("deepseek2", {"rope.dimension_count": 16}),
    ("deepseek2", {"rope.scaling.yarn_log_multiplier": 0.0}),
    ("lfm2", {"shortconv.l_cache": 1}),
    ("ernie4_5", {"nextn_predict_layers": 9}),
]


def changed(folder: Path, case: str, keys: dict[str, Any]) -> Path:
    options = {**CASES[case], "keys": {**CASES[case].get("keys", {}), **keys}}
    return write_architecture_model(folder / "model.gguf", **options)


@pytest.mark.parametrize(("case", "keys"), UNSUPPORTED)
def test_a_setting_that_an_architecture_has_no_place_for(case: str, keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(_core.UnsupportedModelError, match=next(iter(keys))):
        _core.Model.load(str(changed(tmp_path, case, keys)), "reference", 1)


@pytest.mark.parametrize(("case", "keys"), MALFORMED)
def test_a_setting_that_does_not_fit_the_others(case: str, keys: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(_core.GgufError):
        _core.Model.load(str(changed(tmp_path, case, keys)), "reference", 1)


def test_a_position_without_a_vector(tmp_path: Path) -> None:
    """Before anything is computed."""
    model = _core.Model.load(str(changed(tmp_path, "gpt2", {})), "reference", 1)
    whole = tiny_prompt(CASES["gpt2"].get("context_length", 256))
    assert model.logits([whole])[0].shape[0] == len(whole)
    with pytest.raises(ValueError, match="256"):
        model.logits([[*whole, 1]])
