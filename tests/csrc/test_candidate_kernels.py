"""What samplers do with the logits of a whole vocabulary: the same bits from every kernel table, and the right ones."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core_tests as kernels
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, UNIT, assert_same_bits

SIZES = (1, 7, 8, 9, 127, 128, 129, 513, 5003)
LARGEST = float(np.finfo(np.float32).max)
WEIGHT_BITS, BUCKETS = 42, 1024
NO_TOKENS = np.zeros(0, np.int32)


def made(size: int) -> list[Floats]:
    """Logits of a peaked, a flat and an even distribution, and with the largest and lowest numbers among them."""
    random = np.random.default_rng(size)
    peaked = random.normal(0.0, 5.0, size).astype(np.float32)
    flat = random.normal(20.0, 0.3, size).astype(np.float32)
    extreme = peaked.copy()
    extreme[:: max(1, size // 3)] = -LARGEST
    extreme[size // 2] = LARGEST
    return [peaked, flat, np.full(size, -3.5, np.float32), extreme]


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("size", SIZES)
def test_every_table_gives_the_bits_of_the_scalar_one(table: str, size: int) -> None:
    for logits in made(size):
        largest, middle = float(logits.max()), float(np.median(logits))
        mine, expected = kernels.weigh(table, logits), kernels.weigh(REFERENCE, logits)
        assert_same_bits(mine[2], expected[2])
        assert_same_bits(mine[5], expected[5])
        assert (*mine[:2], *mine[3:5], mine[6]) == (*expected[:2], *expected[3:5], expected[6])
        for mean in (0.0, 2.75):
            assert_same_bits(
                kernels.typicality(table, logits, largest, mean), kernels.typicality(REFERENCE, logits, largest, mean)
            )
        for temperature in (0.8, 1e-30, 1e30):
            assert_same_bits(
                kernels.scale(table, logits, largest, temperature),
                kernels.scale(REFERENCE, logits, largest, temperature),
            )
        for factor in (0.0, 3.3, BUCKETS / 30, LARGEST):
            assert_same_bits(
                kernels.bucket(table, logits, largest, factor), kernels.bucket(REFERENCE, logits, largest, factor)
            )
        for low, high in ((middle, math.inf), (-math.inf, middle), (middle - 1.0, middle + 1.0), (largest, math.inf)):
            for above in (False, True):
                arguments = (logits, -logits, NO_TOKENS, size // 3, low, high, above, False)
                assert kernels.keep(table, *arguments) == kernels.keep(REFERENCE, *arguments)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("size", SIZES)
def test_weights_are_integers_that_add_up(table: str, size: int) -> None:
    for logits in made(size)[:3]:
        least, largest, maxima, total, same, weights, distances = kernels.weigh(table, logits)
        assert (least, largest) == (logits.min(), logits.max())
        assert maxima.tolist() == [logits[i : i + 128].max() for i in range(0, size, 128)]
        assert total == same == sum(map(int, weights))
        below = logits.max() - logits
        exact = np.exp(-below.astype(np.float64))
        assert np.all(np.abs(weights / 2.0**WEIGHT_BITS - exact) <= exact * 1.3 * UNIT + 2.0 ** -(WEIGHT_BITS + 1))
        assert distances / 2.0**WEIGHT_BITS == pytest.approx(
            float(exact @ below), rel=1e-6, abs=size * 2.0**-WEIGHT_BITS
        )


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_candidates_are_kept_in_their_order(table: str, in_place: bool, size: int) -> None:
    random = np.random.default_rng(size)
    logits = random.integers(-4, 4, size).astype(np.float32)
    keys = random.integers(-4, 4, size).astype(np.float32)
    ids = np.sort(random.choice(10 * size, size, replace=False)).astype(np.int32)
    for above in (False, True):
        for begin in {0, size // 3}:
            passed = ((keys > -2.0) if above else (keys >= -2.0)) & (keys < 2.0)
            passed[:begin] = False
            kept, tokens = kernels.keep(table, keys, logits, ids, begin, -2.0, 2.0, above, in_place)
            assert kept == logits[passed].tolist()
            assert tokens == ids[passed].tolist()


@pytest.mark.parametrize("table", ALL_TABLES)
def test_buckets_keep_the_order_of_keys(table: str) -> None:
    for logits in made(5003):
        keys: npt.NDArray[np.float32] = np.sort(logits)[::-1]
        for factor in (0.0, 1.7, 1e9, LARGEST):
            buckets = kernels.bucket(table, keys, float(keys[0]), factor).astype(np.int64)
            assert np.all(np.diff(buckets[keys < keys[0]]) >= 0)
            assert buckets.min() >= 0
            assert buckets.max() < BUCKETS
