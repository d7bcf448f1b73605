"""Attention over one block of keys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.csrc.blocks import Floats
from tests.csrc.kernel_tables import ALL_TABLES, REFERENCE, UNIT, assert_same_bits

BLOCK = 64
Halves = npt.NDArray[np.float16]


class KeyBlock:
    """Random keys and values of one head; what lies behind the visible ones is poisoned with NaN."""

    def __init__(self, seed: int, head_dim: int, visible: int, spread: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        self.visible = visible
        self.scale = head_dim**-0.5
        self.keys: Halves = (spread * random.normal(0.0, 1.0, (BLOCK, head_dim))).astype(np.float16)
        self.values: Halves = random.normal(0.0, 1.0, (BLOCK, head_dim)).astype(np.float16)
        self.keys[visible:] = np.nan
        self.values[visible:] = np.nan

    def attend(
        self, table: str, queries: Floats, visible: list[int] | None = None
    ) -> tuple[Floats, list[float], list[float]]:
        """Every query sees all that is visible, unless told otherwise for each."""
        head_dim = self.keys.shape[1]
        tiles = self.keys.reshape(4, 16, head_dim).transpose(0, 2, 1)
        seen = [self.visible] * len(queries) if visible is None else visible
        keys = np.ascontiguousarray(tiles).view(np.uint16)
        return _core.kernels.attend(table, queries, keys, self.values.view(np.uint16), seen, self.scale)

    def scores(self, queries: Floats) -> npt.NDArray[np.float64]:
        return np.asarray(queries.astype(np.float64) @ self.keys[: self.visible].astype(np.float64).T * self.scale)


def make_queries(seed: int, count: int, head_dim: int) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 1.0, (count, head_dim)).astype(np.float32)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("head_dim", [36, 64, 80, 96, 128])
def test_attention_is_softmax_and_every_table_gives_its_bits(table: str, head_dim: int) -> None:
    """A score is a sum of head_dim fused products, so its error is at most ``score_error``; scores are exponents, so
    weights are off by that much twice (against the maximum), by the rounding of the difference, and by the few
    roundings of exp; at most 64 of them are summed.
    """
    for visible in range(1, BLOCK + 1):
        block = KeyBlock(visible, head_dim, visible)
        queries = make_queries(visible, 1 + visible % 9, head_dim)
        out, maxima, denominators = block.attend(table, queries)
        expected = block.attend(REFERENCE, queries)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        scores = block.scores(queries)
        magnitudes = np.abs(queries) @ np.abs(block.keys[:visible].astype(np.float64)).T * block.scale
        score_error = (head_dim + 2) * UNIT * magnitudes.max()
        np.testing.assert_allclose(maxima, scores.max(axis=1), atol=score_error)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        exact = weights @ block.values[:visible].astype(np.float64)
        relative = 2 * (2 * score_error + np.ptp(scores, axis=1).max() * UNIT + (visible + 8) * UNIT)
        bound = relative * (weights @ np.abs(block.values[:visible].astype(np.float64)))
        assert np.all(np.abs(out / np.array(denominators)[:, None] - exact) <= bound)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_query_gets_the_bits_it_gets_alone(table: str) -> None:
    block = KeyBlock(1, 64, 50)
    queries = make_queries(2, 9, 64)
    alone = [block.attend(table, queries[i : i + 1]) for i in range(9)]
    for count in range(1, 10):
        out, maxima, denominators = block.attend(table, queries[:count])
        assert_same_bits(out, np.concatenate([single[0] for single in alone[:count]]))
        assert maxima == [single[1][0] for single in alone[:count]]
        assert denominators == [single[2][0] for single in alone[:count]]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("group", [1, 2, 3, 6, 7])
def test_rows_that_see_different_parts_of_a_block(table: str, group: int) -> None:
    """What a row does not see leaves no trace in it, be it not a number."""
    queries = make_queries(5, 12 * group, 80)
    for first in (1, 15, 40, 53):
        block = KeyBlock(first, 80, first + 11)
        visible = [first + row for row in range(12) for _ in range(group)]
        out, maxima, denominators = block.attend(table, queries, visible)
        expected = block.attend(REFERENCE, queries, visible)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        for row in range(12):
            own = slice(row * group, (row + 1) * group)
            short = KeyBlock(first, 80, first + row)
            alone = short.attend(table, queries[own])
            assert_same_bits(out[own], alone[0])
            assert (maxima[own], denominators[own]) == alone[1:]
        block.keys[first:] = np.nan
        block.values[first:] = np.nan
        assert_same_bits(block.attend(table, queries, visible)[0][:group], out[:group])


@pytest.mark.parametrize("table", ALL_TABLES)
def test_scores_far_apart_neither_overflow_nor_vanish(table: str) -> None:
    """One key takes all the weight when the others lie hundreds below: their exponentials are exactly 0."""
    block = KeyBlock(3, 64, BLOCK, spread=100.0)
    queries = 10 * make_queries(4, 5, 64)
    out, maxima, denominators = block.attend(table, queries)
    expected = block.attend(REFERENCE, queries)
    assert_same_bits(out, expected[0])
    assert (maxima, denominators) == expected[1:]
    scores = block.scores(queries)
    np.testing.assert_allclose(out, block.values.astype(np.float32)[scores.argmax(axis=1)], rtol=0, atol=1e-3)
    np.testing.assert_allclose(denominators, 1.0, atol=1e-3)


def test_arrays_that_do_not_fit_are_refused() -> None:
    queries, block = np.zeros((1, 64), np.float32), np.zeros(64 * 64, np.uint16)
    for visible in ([0], [65], [], [1, 1]):
        with pytest.raises(ValueError, match="visible"):
            _core.kernels.attend(REFERENCE, queries, block, block, visible, 1.0)
    with pytest.raises(ValueError, match="ascending"):
        _core.kernels.attend(REFERENCE, np.zeros((2, 64), np.float32), block, block, [2, 1], 1.0)
    with pytest.raises(ValueError, match="block"):
        _core.kernels.attend(REFERENCE, queries, block[:-1], block, [1], 1.0)
    with pytest.raises(ValueError, match="queries"):
        _core.kernels.attend(REFERENCE, queries[0], block, block, [1], 1.0)
