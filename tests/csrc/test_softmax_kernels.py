"""Sums over logits weighted by their exponentials: the same bits from every kernel table, and the right numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine import _core
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, UNIT, assert_same_bits

kernels = _core.kernels

SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33, 300, 4097)
SPREADS = (0.0, 0.1, 3.0, 30.0, 1e30)


def make_logits(random: np.random.Generator, size: int, spread: float) -> Floats:
    return (20.0 + spread * random.normal(0.0, 1.0, size)).astype(np.float32)


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("spread", SPREADS)
def test_every_table_gives_the_bits_of_the_scalar_one(table: str, spread: float) -> None:
    random = np.random.default_rng(1)
    for size in SIZES:
        logits, others = make_logits(random, size, spread), make_logits(random, size, spread)
        maximum = float(logits.max())
        assert_same_bits(
            kernels.sum_exponentials(table, logits, maximum), kernels.sum_exponentials(REFERENCE, logits, maximum)
        )
        assert_same_bits(
            kernels.compare_logits(table, logits, others, maximum),
            kernels.compare_logits(REFERENCE, logits, others, maximum),
        )


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_sums_are_those_of_exact_arithmetic(table: str, spread: float) -> None:
    """A weight is off by what exp is, 1.2 units, and by the rounding of its exponent; none counts below exp(-87)."""
    random = np.random.default_rng(2)
    for size in SIZES:
        logits, others = make_logits(random, size, spread), make_logits(random, size, spread)
        decreases = logits.astype(np.float64) - logits.max()
        weights = np.exp(decreases)
        errors = weights * (1.3 + np.abs(decreases)) * UNIT + np.exp(-87.0)
        excesses = logits.astype(np.float64) - others
        total, excess = kernels.compare_logits(table, logits, others, float(logits.max()))
        assert total == kernels.sum_exponentials(table, logits, float(logits.max()))
        assert abs(total - weights.sum()) <= errors.sum()
        assert abs(excess - weights @ excesses) <= errors @ np.abs(excesses)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_leaves_no_number(table: str, value: float) -> None:
    for size in SIZES:
        for place in {0, size // 2, size - 1}:
            logits = np.zeros(size, np.float32)
            damaged = logits.copy()
            damaged[place] = value
            assert math.isnan(kernels.sum_exponentials(table, damaged, 0.0))
            assert np.isnan(kernels.compare_logits(table, damaged, logits, 0.0)).all()
            assert np.isnan(kernels.compare_logits(table, logits, damaged, 0.0)).all()


def test_logits_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        kernels.compare_logits(REFERENCE, np.zeros(8, np.float32), np.zeros(4, np.float32), 0.0)


def test_the_natural_logarithm_is_good_to_two_units() -> None:
    random = np.random.default_rng(3)
    near = 1.0 + np.ldexp(random.uniform(-1.0, 1.0, 4000), random.integers(-52, -1, 4000))
    anywhere = np.ldexp(random.uniform(0.5, 1.0, 4000), random.integers(-1021, 1025, 4000))
    edges = [1.0, 2.0, 0.5, math.sqrt(0.5), math.sqrt(2.0), 2.0**-1022, np.finfo(np.float64).max, 151936.0]
    for x in map(float, (*near, *anywhere, *edges)):
        exact = np.log(np.longdouble(x))
        assert abs(np.longdouble(kernels.natural_logarithm(x)) - exact) <= 2.0**-51 * abs(exact)
    assert kernels.natural_logarithm(1.0) == 0.0
