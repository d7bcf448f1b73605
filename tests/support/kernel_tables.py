"""The kernel tables under test. The scalar one defines every bit; the others must repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core

Way = TypeVar("Way")

REFERENCE = "reference"
UNIT = 2.0**-24
"""Half a unit in the last place of a float: the largest relative error of one rounding."""


def _usable(name: str) -> Any:
    reason = _core.kernel_tables()[name]
    return pytest.param(name, marks=pytest.mark.skipif(bool(reason), reason=f"{name} cannot run here: {reason}"))


FAST_TABLES = [_usable(name) for name in _core.kernel_tables() if name != REFERENCE]
ALL_TABLES = [REFERENCE, *FAST_TABLES]
QUANTIZERS_OF_OTHERS = {"cpu_avx_vnni": "avx_vnni", "cpu_amx": "amx"}
"""Tables that quantize weights by the functions of another, and their folders."""
FAST_QUANTIZERS = [one for one in FAST_TABLES if one.values[0] not in QUANTIZERS_OF_OTHERS]


def ways_of(table: str, ways: Sequence[Way]) -> Sequence[Way]:
    """The ways to compute that a table is tested in: all of them, and the second alone for the scalar table.

    It takes ten times as long, and threads, chunks and batches are the business of code that all tables share.
    """
    return ways[1:2] if table == REFERENCE else ways


def assert_same_bits(left: npt.ArrayLike, right: npt.ArrayLike) -> None:
    """Equal as bits: tells zeros of different sign, and equal NaNs, apart from unequal ones."""
    a = np.atleast_1d(np.ascontiguousarray(left))
    b = np.atleast_1d(np.ascontiguousarray(right))
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))
