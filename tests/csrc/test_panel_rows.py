"""Rows out of packed weights: the bytes that were packed, so that a head that is the embedding too is kept once."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from engine import _core, _core_tests
from tests.support.blocks import TENSOR_TYPES, dequantize_floats, random_weights
from tests.support.kernel_tables import REFERENCE, assert_same_bits

TYPES = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS", "MXFP4", "TQ2_0",
)  # fmt: skip


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (2, 3), (15, 1), (16, 2), (17, 5), (48, 4), (131, 3)])
def test_every_bit_comes_back(type_name: str, rows: int, blocks: int) -> None:
    """Whatever they mean: scales that are no numbers, and every code."""
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]]
    weights = np.random.default_rng(rows).bytes(rows * blocks * block_bytes)
    assert _core_tests.through_panel(type_name, weights, blocks * block_elements) == weights


@pytest.mark.parametrize("type_name", TYPES)
def test_every_byte_value_comes_back_from_every_place_of_a_block(type_name: str) -> None:
    block_elements, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type_name]]
    for shift in range(block_bytes):
        weights = bytes((row + shift * place) & 0xFF for row in range(256) for place in range(block_bytes))
        assert _core_tests.through_panel(type_name, weights, block_elements) == weights


@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_every_weight_is_what_it_is_in_the_file(type_name: str) -> None:
    weights = random_weights(np.random.default_rng(4), type_name, 37, 512)
    assert_same_bits(_core_tests.panel_floats(type_name, weights.tobytes(), 512), dequantize_floats(type_name, weights))


@pytest.mark.parametrize("type_name", ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0"])
def test_every_point_of_a_grid_has_its_weights(type_name: str) -> None:
    """Random blocks, enough of them to name each of up to 2,048 points, and each set of signs."""
    weights = random_weights(np.random.default_rng(5), type_name, 16, 256 * 128)
    expected = dequantize_floats(type_name, weights)
    dequantized = _core.kernels.dequantize(REFERENCE, type_name, weights.tobytes())
    assert_same_bits(dequantized.reshape(expected.shape), expected)
    assert_same_bits(_core_tests.panel_floats(type_name, weights.tobytes(), 256 * 128), expected)
