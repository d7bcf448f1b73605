"""Rows out of packed weights: the bytes that were packed, so that a head that is the embedding too is kept once."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from engine import _core_tests

TYPES = (
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS", "MXFP4",
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
