"""Which tensor gets which type, on the shapes of real models."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine import _core, _core_tests
from tests.golden.quantized_data import RECIPES

EMBEDDING = "token_embd.weight"


@dataclass(frozen=True)
class Shape:
    layers: int
    embedding: int
    feed_forward: int
    architecture: str = "llama"
    tied: bool = True
    experts: int = 0
    heads: int = 32
    kv_heads: int = 8
    tensor_type: str = "F16"

    def types(self, recipe: str, *, important: bool = False) -> dict[str, str]:
        return _core_tests.target_types(
            recipe, architecture=self.architecture, layers=self.layers, experts=self.experts, heads=self.heads,
            kv_heads=self.kv_heads, tensors=self._tensors(), important=important,
        )  # fmt: skip

    def _tensors(self) -> list[tuple[str, str, list[int]]]:
        tensors = [(EMBEDDING, self.tensor_type, [1000, self.embedding])]
        tensors += [("output_norm.weight", "F32", [self.embedding])]
        if not self.tied:
            tensors += [("output.weight", self.tensor_type, [1000, self.embedding])]
        suffix, outer = ("_exps", [self.experts]) if self.experts else ("", [])
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            tensors += [(f"{prefix}attn_norm.weight", "F32", [self.embedding])]
            tensors += [(f"{prefix}attn_q.bias", "F32", [self.embedding])]
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                tensors += [(f"{prefix}{name}.weight", self.tensor_type, [64, self.embedding])]
            if self.experts:
                tensors += [(f"{prefix}ffn_gate_inp.weight", "F32", [self.experts, self.embedding])]
            for name in ("ffn_gate", "ffn_up"):
                tensors += [(f"{prefix}{name}{suffix}.weight", self.tensor_type, [*outer, 64, self.embedding])]
            tensors += [(f"{prefix}ffn_down{suffix}.weight", self.tensor_type, [*outer, 64, self.feed_forward])]
        return tensors


SMOLLM2_135M = Shape(30, 576, 1536)
QWEN2_05B = Shape(24, 896, 4864, architecture="qwen2")
LLAMA_1B = Shape(16, 2048, 8192)
LLAMA_8B = Shape(32, 4096, 14336, tied=False)
LLAMA_70B = Shape(80, 8192, 28672, tied=False, heads=64)
MIXTRAL = Shape(32, 4096, 14336, tied=False, experts=8)


def layers_of(types: dict[str, str], name: str, type_name: str) -> set[int]:
    return {int(key.split(".")[1]) for key, value in types.items() if f".{name}." in key and value == type_name}


def kinds_of(types: dict[str, str], name: str) -> set[str]:
    return {value for key, value in types.items() if key.endswith(f".{name}.weight")}


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        (LLAMA_1B, {0, 1, 4, 7, 10, 13, 14, 15}),
        (SMOLLM2_135M, {0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29}),
        (LLAMA_8B, {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31}),
    ],
)
def test_the_outer_layers_and_every_third_get_more_bits(shape: Shape, more: set[int]) -> None:
    types = shape.types("q4_k_m")
    assert layers_of(types, "ffn_down", "Q6_K") == more
    assert layers_of(types, "ffn_down", "Q4_K") == set(range(shape.layers)) - more
    assert layers_of(types, "attn_v", "Q6_K" if shape.embedding % 256 == 0 else "Q8_0") == more


def test_a_model_of_2048_columns_is_what_the_recipe_says() -> None:
    types = LLAMA_1B.types("q4_k_m")
    assert types[EMBEDDING] == "Q6_K"
    for name in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert kinds_of(types, name) == {"Q4_K"}
    assert kinds_of(types, "attn_norm") == {"F32"}
    assert types["blk.0.attn_q.bias"] == "F32"


def test_an_untied_head_gets_more_bits_than_the_embedding() -> None:
    types = LLAMA_8B.types("q4_k_m")
    assert types["output.weight"] == "Q6_K"
    assert types[EMBEDDING] == "Q4_K"


@pytest.mark.parametrize("shape", [SMOLLM2_135M, QWEN2_05B], ids=["smollm2", "qwen2"])
def test_rows_that_256_does_not_divide_fall_back_to_blocks_of_32(shape: Shape) -> None:
    types = shape.types("q4_k_m")
    assert types[EMBEDDING] == "Q8_0"
    for name in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert kinds_of(types, name) == {"Q5_0"}
    assert kinds_of(types, "attn_v") == {"Q8_0", "Q5_0"}
    assert kinds_of(types, "ffn_down") == {"Q6_K", "Q4_K"}
    assert kinds_of(shape.types("q6_k"), "attn_q") == {"Q8_0"}


@pytest.mark.parametrize(("recipe", "type_name"), [("q5_k_m", "Q5_1"), ("iq4_xs", "IQ4_NL"), ("q3_k_m", "Q4_0")])
def test_each_type_has_another_to_fall_back_to(recipe: str, type_name: str) -> None:
    assert kinds_of(SMOLLM2_135M.types(recipe), "attn_q") == {type_name}


def test_rows_that_32_does_not_divide_fall_back_to_f16() -> None:
    for recipe in RECIPES:
        assert kinds_of(Shape(2, 80, 96).types(recipe), "attn_q") == {"F16"}


@pytest.mark.parametrize(("recipe", "type_name"), [("q8_0", "Q8_0"), ("q6_k", "Q6_K")])
def test_plain_recipes_have_one_type(recipe: str, type_name: str) -> None:
    types = LLAMA_8B.types(recipe)
    assert set(types.values()) == {type_name, "F32"}
    assert {types["output.weight"], types[EMBEDDING]} == {type_name}


def test_models_of_eight_experts_keep_their_keys_and_values_in_eight_bits() -> None:
    for recipe in ("q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m"):
        types = MIXTRAL.types(recipe)
        assert kinds_of(types, "attn_k") == kinds_of(types, "attn_v") == {"Q8_0"}
        assert kinds_of(types, "ffn_gate_inp") == {"F32"}
    types = MIXTRAL.types("q4_k_m")
    assert kinds_of(types, "attn_output") == {"Q5_K"}
    assert layers_of(types, "ffn_down_exps", "Q6_K") == layers_of(LLAMA_8B.types("q4_k_m"), "ffn_down", "Q6_K")


def test_values_of_80_layers_shared_by_many_queries_get_five_bits() -> None:
    assert kinds_of(LLAMA_70B.types("q4_k_m"), "attn_v") == {"Q6_K", "Q5_K"}
    every_head_its_own = Shape(80, 8192, 22016, tied=False, heads=64, kv_heads=64)
    assert kinds_of(every_head_its_own.types("q4_k_m"), "attn_v") == {"Q6_K", "Q4_K"}


def test_five_bits_are_mixed_as_four_are() -> None:
    four, five = LLAMA_8B.types("q4_k_m"), LLAMA_8B.types("q5_k_m")
    assert five == {name: {"Q4_K": "Q5_K"}.get(type_name, type_name) for name, type_name in four.items()}


def test_small_recipes_spend_bits_on_the_first_layers() -> None:
    types = LLAMA_8B.types("q4_k_s")
    assert layers_of(types, "attn_v", "Q5_K") == layers_of(types, "ffn_down", "Q5_K") == {0, 1, 2, 3}
    types = LLAMA_8B.types("q3_k_m")
    assert layers_of(types, "attn_v", "Q5_K") == layers_of(types, "ffn_down", "Q5_K") == {0, 1}
    for name in ("attn_v", "ffn_down"):
        assert kinds_of(types, name) == {"Q5_K", "Q4_K"}
    assert kinds_of(types, "attn_output") == {"Q4_K"}
    for name in ("attn_q", "attn_k", "ffn_gate", "ffn_up"):
        assert kinds_of(types, name) == {"Q3_K"}


def test_importance_decides_what_the_first_outputs_need() -> None:
    assert layers_of(LLAMA_8B.types("iq4_xs"), "ffn_down", "Q5_K") == {0, 1, 2, 3}
    assert kinds_of(LLAMA_8B.types("iq4_xs", important=True), "ffn_down") == {"IQ4_XS"}
    assert kinds_of(LLAMA_8B.types("q4_0"), "ffn_down") == {"Q4_0"}
    assert layers_of(LLAMA_8B.types("q4_0", important=True), "ffn_down", "Q4_1") == {0, 1, 2, 3}


def test_values_that_four_queries_share_get_five_bits() -> None:
    assert kinds_of(LLAMA_8B.types("iq4_xs"), "attn_v") == {"Q5_K"}
    assert kinds_of(Shape(32, 4096, 11008, kv_heads=32).types("iq4_xs"), "attn_v") == {"IQ4_XS"}


def test_layers_are_counted_as_numbers() -> None:
    # Sorted by name, blk.10 comes before blk.2: a recipe that counted so would give other layers more bits.
    types = LLAMA_1B.types("q4_k_m")
    assert types["blk.2.attn_v.weight"] == "Q4_K"
    assert types["blk.10.attn_v.weight"] == "Q6_K"


def test_an_expert_of_no_layer_is_refused() -> None:
    with pytest.raises(_core.UnsupportedModelError, match="of none of the model's 2 layers"):
        _core_tests.target_types(
            "q4_k_m", architecture="llama", layers=2, experts=8, heads=8, kv_heads=8,
            tensors=[("blk.2.ffn_down_exps.weight", "F16", [8, 64, 256])],
        )  # fmt: skip


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="no recipe is named 'q5_k'"):
        LLAMA_1B.types("q5_k")
