"""Matrix products of every tensor type: the same bits from every kernel table, and the right numbers."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.support.blocks import LAYOUTS, TENSOR_TYPES, Bytes, Floats, dequantize, minimums, random_weights, set_scales
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, UNIT, assert_same_bits

COLUMNS = (32, 64, 96, 576, 896, 960, 1152)
SUPER_COLUMNS = (256, 512, 2048, 8960)
ROWS = (1, 2, 15, 16, 17, 33, 100)
MOST_TOKENS = 12
"""Enough for tiles of every size, out of packed lines and of unpacked ones."""
TILED_TOKENS = (31, 32, 49, 273)
"""Too few for AMX tiles, full ones, some in the last, and more than are multiplied at a time."""
EXTREME_SCALES = {
    "Q2_K": (slice(0, 16), (0xFF,)), "Q3_K": (slice(96, 108), (0xFF, 0x00)), "Q4_K": (slice(4, 16), (0xFF,)),
    "Q5_K": (slice(4, 16), (0xFF,)), "Q6_K": (slice(192, 208), (0x7F, 0x80)), "IQ4_XS": (slice(2, 8), (0xFF, 0x00)),
    "IQ1_S": (slice(35, 50, 2), (0x7F, 0xFF)), "IQ1_M": (slice(48, 56), (0xFF,)), "IQ2_XXS": (slice(9, 66, 8), (0xFF,)),
    "IQ2_XS": (slice(66, 74), (0xFF,)), "IQ2_S": (slice(74, 82), (0xFF,)), "IQ3_XXS": (slice(69, 98, 4), (0xFF,)),
    "IQ3_S": (slice(106, 110), (0xFF,)),
}  # fmt: skip
"""Places of a block's inner scales and minimums, and the bytes of the widest."""


def multiply(table: str, type_name: str, weights: Bytes, x: Floats) -> Floats:
    return _core.kernels.multiply(table, type_name, weights.tobytes(), len(weights), x)


def make_inputs(random: np.random.Generator, tokens: int, columns: int) -> Floats:
    """Mostly of magnitude 1, with outliers, zeros, and a stretch of tiny values."""
    x = random.normal(0.0, 1.0, (tokens, columns)).astype(np.float32)
    x[random.random(x.shape) < 0.01] *= np.float32(300.0)
    x[random.random(x.shape) < 0.05] = 0.0
    x[:, : columns // 4] *= np.float32(2.0 ** -random.integers(0, 40))
    return x


def column_counts(type_name: str) -> tuple[int, ...]:
    return SUPER_COLUMNS if type_name in LAYOUTS and LAYOUTS[type_name].block_elements == 256 else COLUMNS


def code_steps(type_name: str, x: Floats) -> npt.NDArray[np.float64]:
    """What one step of its code is worth, for every input; 0 for the types that are multiplied as floats."""
    if type_name not in LAYOUTS:
        return np.zeros(x.shape)
    block = LAYOUTS[type_name].block_elements
    part = 16 if block == 32 else 32
    steps = []
    for row in x:
        _, multipliers, scales, _ = _core.kernels.quantize(REFERENCE, row, block)
        steps.append(np.repeat(np.array(scales), block) * np.repeat(multipliers, part))
    return np.array(steps)


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_every_table_gives_the_bits_of_the_scalar_one(table: str, type_name: str) -> None:
    random = np.random.default_rng(1)
    for columns, rows in itertools.product(column_counts(type_name), ROWS):
        weights = random_weights(random, type_name, rows, columns)
        x = make_inputs(random, 9, columns)
        expected = multiply(REFERENCE, type_name, weights, x)
        assert_same_bits(multiply(table, type_name, weights, x), expected)


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
@pytest.mark.parametrize("tokens", TILED_TOKENS)
def test_many_tokens_get_the_bits_that_a_few_get(tokens: int, table: str, type_name: str) -> None:
    random = np.random.default_rng(10)
    columns = column_counts(type_name)[1]
    weights = random_weights(random, type_name, 50, columns)
    x = make_inputs(random, tokens, columns)
    few = [multiply(REFERENCE, type_name, weights, x[t : t + 9]) for t in range(0, tokens, 9)]
    assert_same_bits(multiply(table, type_name, weights, x), np.concatenate(few))


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_a_row_of_a_batch_gets_the_bits_it_gets_alone(table: str, type_name: str) -> None:
    random = np.random.default_rng(2)
    for columns in column_counts(type_name)[:2]:
        weights = random_weights(random, type_name, 33, columns)
        x = make_inputs(random, MOST_TOKENS, columns)
        alone = np.concatenate([multiply(table, type_name, weights, x[t : t + 1]) for t in range(MOST_TOKENS)])
        for tokens in range(1, MOST_TOKENS + 1):
            assert_same_bits(multiply(table, type_name, weights, x[:tokens]), alone[:tokens])


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_products_are_those_of_exact_arithmetic_but_for_the_rounding(table: str, type_name: str) -> None:
    """Two errors are allowed. An input is off by at most half a step of its code, so an output by at most the sum of
    |weight| * step / 2. And the float sums: scale and minimum parts are added up apart, one fused addition for each
    block (each element where weights are floats), each with a relative error of one unit of what has been summed; six
    more units cover the rounding of the two scales, their product, the sum, the last addition and the reference.
    """
    random = np.random.default_rng(3)
    for columns in column_counts(type_name):
        weights = random_weights(random, type_name, 17, columns)
        x = make_inputs(random, 3, columns)
        exact = dequantize(type_name, weights)
        least = minimums(type_name, weights)
        additions = columns // LAYOUTS[type_name].block_elements if type_name in LAYOUTS else columns
        steps = code_steps(type_name, x)
        largest = np.abs(x) + steps / 2
        # Half a step and a little: the inverse of the scale is itself rounded.
        tolerance = steps * 0.5001 @ np.abs(exact).T
        tolerance += (additions + 6) * UNIT * (largest @ (np.abs(exact - least) + np.abs(least)).T) + 1e-30
        error = np.abs(multiply(table, type_name, weights, x) - x.astype(np.float64) @ exact.T)
        assert np.all(error <= tolerance)


def extreme_blocks(type_name: str) -> Bytes:
    """One block a row, all scales 1: codes all ones, all zeros and alternating, with the widest inner scales."""
    layout = LAYOUTS[type_name]
    rows = [np.full(layout.block_bytes, code, np.uint8) for code in (0xFF, 0x00, 0x0F, 0xF0, 0x7F, 0x80, 0xAA, 0x55)]
    if type_name in EXTREME_SCALES:
        place, bytes_of_scales = EXTREME_SCALES[type_name]
        inner = np.isin(np.arange(layout.block_bytes), np.arange(layout.block_bytes)[place])
        rows = [np.where(inner, byte, row) for byte in bytes_of_scales for row in rows]
    blocks = np.array(rows, np.uint8)
    set_scales(type_name, blocks, 1.0)
    return blocks


def extreme_inputs(columns: int) -> Floats:
    """Integers that quantize exactly: every code is 127 or -127, with multipliers all 1, or 8 in all parts but one."""
    part = 16 if columns == 32 else 32
    signs = [np.ones(columns), -np.ones(columns), np.resize([1.0, -1.0], columns), np.resize([1.0, 1.0, -1.0], columns)]
    plain = [127.0 * sign for sign in signs]
    spread = [np.where(np.arange(columns) < part, row, 8.0 * row) for row in plain]
    return np.array(plain + spread, np.float32)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("type_name", list(LAYOUTS))
def test_the_widest_codes_do_not_overflow(table: str, type_name: str) -> None:
    weights = extreme_blocks(type_name)
    x = np.tile(extreme_inputs(LAYOUTS[type_name].block_elements), (4, 1))  # enough for AMX tiles
    least = minimums(type_name, weights)
    codes = dequantize(type_name, weights) - least
    # All integers: the dot product inside a block is exact, then rounded once.
    expected = (x @ codes.T).astype(np.float32) + (x @ least.T).astype(np.float32)
    exact_codes = np.abs(x).astype(np.float64) @ np.abs(codes).T
    assert exact_codes.max() < 2.0**31
    np.testing.assert_array_equal(multiply(table, type_name, weights, x), expected)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_weights_of_another_size_are_refused(table: str) -> None:
    x = np.zeros((1, 64), np.float32)
    for type_name, rows, size in (("Q8_0", 1, 67), ("Q8_0", 0, 0), ("Q4_K", 1, 144), ("F32", 2, 256)):
        with pytest.raises(ValueError, match="size"):
            _core.kernels.multiply(table, type_name, bytes(size), rows, x)
    with pytest.raises(ValueError, match="tokens, columns"):
        _core.kernels.multiply(table, "F32", bytes(256), 1, x[0])


def test_unknown_names_are_refused() -> None:
    x = np.zeros((1, 32), np.float32)
    with pytest.raises(ValueError, match="no_such_table"):
        _core.kernels.multiply("no_such_table", "F32", bytes(128), 1, x)
    with pytest.raises(ValueError, match="Q9_9"):
        _core.kernels.multiply(REFERENCE, "Q9_9", bytes(128), 1, x)
