"""Rows quantized: what the reference makes of them, and the same from every kernel table."""

from __future__ import annotations

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf import quants
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine import _core
from tests.golden.quantized_data import RowCase, read_quantized, row_cases, row_digest
from tests.support.blocks import (
    FLOAT_TYPES,
    LAYOUTS,
    TENSOR_TYPES,
    dequantize,
    dequantize_floats,
    encode_floats,
    random_weights,
)
from tests.support.kernel_tables import FAST_QUANTIZERS, REFERENCE, assert_same_bits
from tests.support.quantizer_rows import (
    BLOCK_TYPES,
    IMPORTANCE_KINDS,
    QUANTIZED_TYPES,
    ROW_KINDS,
    make_importance,
    make_rows,
)

pytestmark = pytest.mark.slow

Floats = npt.NDArray[np.float32]
GOLDEN = read_quantized()["rows"]

every_type = pytest.mark.parametrize("type_name", QUANTIZED_TYPES)
every_table = pytest.mark.parametrize("table", [REFERENCE, *FAST_QUANTIZERS])
fast_tables = pytest.mark.parametrize("table", FAST_QUANTIZERS)


PYTHON_DIFFERS = {"subnormal", "partly_subnormal", "constant", "negative_zero", "large", "too_large", "one_large"}
"""Rows that the Python reference treats differently: subnormal blocks, scales of 0, and infinite scales, of which it
warns."""


def quantize(table: str, type_name: str, x: Floats, importance: Floats | None = None) -> bytes:
    return _core.kernels.quantize_rows(table, type_name, x, importance)


def columns_of(type_name: str) -> list[int]:
    """One and few blocks, and numbers of them that fill no register."""
    block = LAYOUTS[type_name].block_elements
    return [block, 3 * block, 17 * block, 18 * block]


@every_table
@pytest.mark.parametrize("case", row_cases(), ids=lambda case: case.name)
def test_rows_become_the_bytes_of_the_reference_quantizer(table: str, case: RowCase) -> None:
    x = make_rows(case.kind, case.rows, case.columns, case.seed)
    importance = make_importance(case.importance, case.columns, case.seed)
    assert row_digest(quantize(table, case.type, x, importance)) == GOLDEN[case.name]


@every_table
@pytest.mark.parametrize("type_name", BLOCK_TYPES)
@pytest.mark.parametrize("kind", [kind for kind in ROW_KINDS if kind not in PYTHON_DIFFERS])
def test_blocks_of_32_are_those_of_the_python_reference(table: str, type_name: str, kind: str) -> None:
    x = make_rows(kind, 4, 576)
    expected = quants.quantize(x, gguf.GGMLQuantizationType[type_name]).tobytes()
    assert quantize(table, type_name, x) == expected


@fast_tables
@every_type
@pytest.mark.parametrize("importance_kind", [None, *IMPORTANCE_KINDS])
@pytest.mark.parametrize("kind", ROW_KINDS)
def test_every_table_makes_the_bytes_of_the_scalar_one(
    table: str, type_name: str, kind: str, importance_kind: str | None
) -> None:
    for columns in columns_of(type_name):
        x = make_rows(kind, 3, columns, seed=columns)
        importance = make_importance(importance_kind, columns, seed=columns)
        assert quantize(table, type_name, x, importance) == quantize(REFERENCE, type_name, x, importance)


ANY_FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)
SMALL_FLOAT = st.floats(-1, 1, width=32)


@fast_tables
@every_type
@settings(max_examples=40, deadline=None)
@given(
    x=hnp.arrays(np.float32, (1, 256), elements=ANY_FLOAT | SMALL_FLOAT),
    importance=st.none() | hnp.arrays(np.float32, 256, elements=st.floats(0, 2.0**60, width=32)),
)
def test_every_table_makes_the_same_of_any_floats(
    table: str, type_name: str, x: Floats, importance: Floats | None
) -> None:
    assert quantize(table, type_name, x, importance) == quantize(REFERENCE, type_name, x, importance)


@every_table
@every_type
def test_rows_do_not_depend_on_each_other(table: str, type_name: str) -> None:
    x = make_rows("heavy_tailed", 5, 768)
    importance = make_importance("uneven", 768)
    for weights in (None, importance):
        alone = [quantize(table, type_name, x[row : row + 1], weights) for row in range(5)]
        assert quantize(table, type_name, x, weights) == b"".join(alone)


# Half a step of the codes in a block whose values are normal, and what the scale's own rounding adds.
LARGEST_ERROR = {
    "Q8_0": 0.006, "Q4_0": 0.15, "Q4_1": 0.12, "Q5_0": 0.08, "Q5_1": 0.06, "Q4_K": 0.12, "Q5_K": 0.06, "Q6_K": 0.04,
    "Q3_K": 0.24, "IQ4_NL": 0.13, "IQ4_XS": 0.13,
}  # fmt: skip


@every_table
@every_type
def test_quantized_rows_are_near_the_rows(table: str, type_name: str) -> None:
    x = make_rows("normal", 8, 768)
    blocks = np.frombuffer(quantize(table, type_name, x), np.uint8).reshape(8, -1)
    error = np.sqrt(np.mean((dequantize(type_name, blocks) - x) ** 2)) / x.std()
    assert error < LARGEST_ERROR[type_name]


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"])
def test_importance_moves_the_error_to_where_it_matters_less(type_name: str) -> None:
    x = make_rows("normal", 16, 768)
    matters = np.random.default_rng(1).random(768) < 0.25
    importance = np.where(matters, 100.0, 1.0).astype(np.float32)

    def error(weights: Floats | None) -> float:
        blocks = np.frombuffer(quantize(REFERENCE, type_name, x, weights), np.uint8).reshape(16, -1)
        return float(np.mean((dequantize(type_name, blocks) - x)[:, matters] ** 2))

    assert error(importance) < 0.95 * error(None)


@every_table
@pytest.mark.parametrize("columns", [1, 7, 8, 80, 257])
def test_halves_are_rounded_to_even(table: str, columns: int) -> None:
    x = make_rows("normal", 3, columns)
    x[0, 0] = 1 + 2.0**-11  # half-way between two halves
    assert quantize(table, "F16", x) == x.astype(np.float16).tobytes()


@every_table
@pytest.mark.parametrize("type_name", [*FLOAT_TYPES, *LAYOUTS])
def test_what_is_dequantized_is_exactly_what_the_format_says(table: str, type_name: str) -> None:
    random = np.random.default_rng(5)
    weights = random_weights(random, type_name, 3, 768)
    floats = _core.kernels.dequantize(table, type_name, weights.tobytes()).reshape(3, 768)
    assert_same_bits(floats, dequantize_floats(type_name, weights))


@every_table
def test_subnormals_are_kept(table: str) -> None:
    halves = np.array([2.0**-24, -(2.0**-15)] * 16, np.float16)
    assert_same_bits(_core.kernels.dequantize(table, "F16", halves.tobytes()), halves.astype(np.float32))
    tiny = np.array([2.0**-149, 2.0**-130], np.float32)
    assert_same_bits(_core.kernels.dequantize(table, "F32", encode_floats("F32", tiny[np.newaxis]).tobytes()), tiny)


@pytest.mark.parametrize(
    ("type_name", "shape", "importance"),
    [
        ("Q4_0", (1, 33), None),
        ("Q4_K", (1, 128), None),
        ("Q8_0", (32,), None),
        ("Q4_0", (1, 64), 32),
        *((type_name, (1, 256), None) for type_name in TENSOR_TYPES if type_name not in ("F16", *QUANTIZED_TYPES)),
    ],
)
def test_what_cannot_be_quantized_is_refused(type_name: str, shape: tuple[int, ...], importance: int | None) -> None:
    weights = None if importance is None else np.ones(importance, np.float32)
    with pytest.raises(ValueError, match=r"columns|importance|nothing"):
        quantize(REFERENCE, type_name, np.zeros(shape, np.float32), weights)
