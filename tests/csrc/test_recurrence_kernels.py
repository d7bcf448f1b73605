"""Kernels of recurrent layers, beside products: scalar kernels against exact arithmetic, others against them."""

from __future__ import annotations

import numpy as np
import pytest

from engine._core import kernels
from tests.support.kernel_tables import ALL_TABLES, REFERENCE, UNIT, assert_same_bits

AWKWARD_SIZES = (1, 7, 8, 9, 33, 96)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("taps", [1, 2, 3, 4])
def test_convolve(taps: int, table: str) -> None:
    random = np.random.default_rng(taps)
    for n in AWKWARD_SIZES:
        rows, weights = random.normal(0.0, 1.0, (2, taps, n)).astype(np.float32)
        out = kernels.convolve(table, rows, weights)
        assert_same_bits(out, kernels.convolve(REFERENCE, rows, weights))
        products = rows.astype(np.float64) * weights
        bound = 2 * taps * UNIT * np.abs(products).sum(axis=0).max()
        np.testing.assert_allclose(out, products.sum(axis=0), rtol=0, atol=bound)
