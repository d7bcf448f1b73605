"""Attention over one block of keys."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, REFERENCE, UNIT, assert_same_bits

BLOCK = 64
SCALE_CHANNELS = 32
F16, Q8_0 = "f16", "q8_0"
FORMS = [
    *((F16, head_dim) for head_dim in (36, 64, 80, 96, 128)),
    *((Q8_0, head_dim) for head_dim in (32, 64, 96, 128)),
]


def stored(kv_cache: str, x: Floats) -> npt.NDArray[np.float64]:
    """What a cache of this type gives back."""
    if kv_cache == F16:
        return x.astype(np.float16).astype(np.float64)
    codes, scales = _core.kernels.quantize_kv(REFERENCE, x.ravel())
    return (codes.reshape(-1, SCALE_CHANNELS) * scales.view(np.float16).astype(np.float64)[:, None]).reshape(x.shape)


def as_multiplied(kv_cache: str, queries: Floats) -> npt.NDArray[np.float64]:
    """The queries as they meet the keys: codes meet codes."""
    if kv_cache == F16:
        return queries.astype(np.float64)
    codes, multipliers, scales, _ = _core.kernels.quantize(REFERENCE, queries.ravel(), SCALE_CHANNELS)
    parts = codes.reshape(-1, SCALE_CHANNELS // 2) * np.array(multipliers, np.float64)[:, None]
    return (parts.reshape(-1, SCALE_CHANNELS) * np.array(scales, np.float64)[:, None]).reshape(queries.shape)


class KeyBlock:
    """Random keys and values of one head; what lies behind the visible ones is poisoned with NaN."""

    def __init__(self, kv_cache: str, seed: int, head_dim: int, visible: int, spread: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        self.kv_cache = kv_cache
        self.visible = visible
        self.scale = head_dim**-0.5
        self.keys: Floats = (spread * random.normal(0.0, 1.0, (BLOCK, head_dim))).astype(np.float32)
        self.values: Floats = random.normal(0.0, 1.0, (BLOCK, head_dim)).astype(np.float32)
        self.keys[visible:] = np.nan
        self.values[visible:] = np.nan

    def attend(
        self, table: str, queries: Floats, visible: list[int] | None = None
    ) -> tuple[Floats, list[float], list[float]]:
        """Every query sees all that is visible, unless told otherwise for each."""
        seen = [self.visible] * len(queries) if visible is None else visible
        return _core.kernels.attend(table, self.kv_cache, queries, self.keys, self.values, seen, self.scale)

    @property
    def stored_keys(self) -> npt.NDArray[np.float64]:
        return stored(self.kv_cache, self.keys[: self.visible])

    @property
    def stored_values(self) -> npt.NDArray[np.float64]:
        return stored(self.kv_cache, self.values[: self.visible])

    def scores(self, queries: Floats) -> npt.NDArray[np.float64]:
        return np.asarray(as_multiplied(self.kv_cache, queries) @ self.stored_keys.T * self.scale)


def make_queries(seed: int, count: int, head_dim: int) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 1.0, (count, head_dim)).astype(np.float32)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "head_dim"), FORMS)
def test_attention_is_softmax_and_every_table_gives_its_bits(table: str, kv_cache: str, head_dim: int) -> None:
    """A score is a sum of head_dim fused products, so its error is at most ``score_error``; scores are exponents, so
    weights are off by that much twice (against the maximum), by the rounding of the difference, and by the few
    roundings of exp; at most 64 of them are summed.
    """
    for visible in range(1, BLOCK + 1):
        block = KeyBlock(kv_cache, visible, head_dim, visible)
        queries = make_queries(visible, 1 + visible % 9, head_dim)
        out, maxima, denominators = block.attend(table, queries)
        expected = block.attend(REFERENCE, queries)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        scores = block.scores(queries)
        magnitudes = np.abs(as_multiplied(kv_cache, queries)) @ np.abs(block.stored_keys).T * block.scale
        score_error = (head_dim + 2) * UNIT * magnitudes.max()
        np.testing.assert_allclose(maxima, scores.max(axis=1), atol=score_error)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        exact = weights @ block.stored_values
        relative = 2 * (2 * score_error + np.ptp(scores, axis=1).max() * UNIT + (visible + 8) * UNIT)
        bound = relative * (weights @ np.abs(block.stored_values))
        assert np.all(np.abs(out / np.array(denominators)[:, None] - exact) <= bound)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("kv_cache", [F16, Q8_0])
def test_a_query_gets_the_bits_it_gets_alone(table: str, kv_cache: str) -> None:
    block = KeyBlock(kv_cache, 1, 64, 50)
    queries = make_queries(2, 9, 64)
    alone = [block.attend(table, queries[i : i + 1]) for i in range(9)]
    for count in range(1, 10):
        out, maxima, denominators = block.attend(table, queries[:count])
        assert_same_bits(out, np.concatenate([single[0] for single in alone[:count]]))
        assert maxima == [single[1][0] for single in alone[:count]]
        assert denominators == [single[2][0] for single in alone[:count]]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("group", [1, 2, 3, 6, 7])
@pytest.mark.parametrize(("kv_cache", "head_dim"), [(F16, 80), (Q8_0, 96)])
def test_rows_that_see_different_parts_of_a_block(table: str, group: int, kv_cache: str, head_dim: int) -> None:
    """What a row does not see leaves no trace in it, be it not a number."""
    queries = make_queries(5, 12 * group, head_dim)
    for first in (1, 15, 40, 53):
        block = KeyBlock(kv_cache, first, head_dim, first + 11)
        visible = [first + row for row in range(12) for _ in range(group)]
        out, maxima, denominators = block.attend(table, queries, visible)
        expected = block.attend(REFERENCE, queries, visible)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        for row in range(12):
            own = slice(row * group, (row + 1) * group)
            short = KeyBlock(kv_cache, first, head_dim, first + row)
            alone = short.attend(table, queries[own])
            assert_same_bits(out[own], alone[0])
            assert (maxima[own], denominators[own]) == alone[1:]
        block.keys[first:] = np.nan
        block.values[first:] = np.nan
        assert_same_bits(block.attend(table, queries, visible)[0][:group], out[:group])


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("group", [1, 2, 3, 7])
@pytest.mark.parametrize(("kv_cache", "head_dim"), [(F16, 80), (Q8_0, 96)])
def test_rows_whose_window_begins_inside_a_block(table: str, group: int, kv_cache: str, head_dim: int) -> None:
    """What a row no longer sees leaves no trace in it, be it not a number; the rest it sees as if it were all."""
    queries = make_queries(5, 12 * group, head_dim)
    for window, first in ((1, 1), (5, 20), (20, 30), (64, 53), (17, 52)):
        block = KeyBlock(kv_cache, first, head_dim, first + 11)
        visible = [first + row for row in range(12) for _ in range(group)]
        hidden = [max(0, end - window) for end in visible]
        attend = functools.partial(
            _core.kernels.attend, kv_cache=kv_cache, values=block.values, scale=block.scale, soft_cap=0.0
        )
        out, maxima, denominators = attend(table, queries=queries, keys=block.keys, visible=visible, hidden=hidden)
        expected = attend(REFERENCE, queries=queries, keys=block.keys, visible=visible, hidden=hidden)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        scores = block.scores(queries)
        for row, (begin, end) in enumerate(zip(hidden, visible, strict=True)):
            weights = np.exp(scores[row, begin:end] - scores[row, begin:end].max())
            np.testing.assert_allclose(denominators[row], weights.sum(), rtol=1e-4)
            exact = weights @ block.stored_values[begin:end]
            np.testing.assert_allclose(out[row], exact, rtol=0, atol=1e-4 * weights.sum())
        gone = KeyBlock(kv_cache, first, head_dim, first + 11)
        gone.keys[: hidden[-1]] = np.nan
        gone.values[: hidden[-1]] = np.nan
        last = slice(11 * group, 12 * group)
        alone = _core.kernels.attend(
            table, kv_cache, queries[last], gone.keys, gone.values, visible[last], block.scale, 0.0, hidden[last]
        )
        assert_same_bits(out[last], alone[0])
        assert (maxima[last], denominators[last]) == alone[1:]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "head_dim"), [(F16, 64), (Q8_0, 64)])
def test_scores_under_a_soft_cap(table: str, kv_cache: str, head_dim: int) -> None:
    cap = 2.5
    for visible in (1, 15, 16, 40, 64):
        block = KeyBlock(kv_cache, visible, head_dim, visible, spread=3.0)
        queries = make_queries(visible, 7, head_dim)
        seen = [visible] * 7
        arguments = (kv_cache, queries, block.keys, block.values, seen, block.scale, cap)
        out, maxima, denominators = _core.kernels.attend(table, *arguments)
        expected = _core.kernels.attend(REFERENCE, *arguments)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        scores = cap * np.tanh(block.scores(queries) / cap)
        np.testing.assert_allclose(maxima, scores.max(axis=1), atol=1e-5)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        exact = weights @ block.stored_values
        np.testing.assert_allclose(out / np.array(denominators)[:, None], exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("kv_cache", [F16, Q8_0])
def test_scores_far_apart_neither_overflow_nor_vanish(table: str, kv_cache: str) -> None:
    """One key takes all the weight when the others lie hundreds below: their exponentials are exactly 0."""
    block = KeyBlock(kv_cache, 3, 64, BLOCK, spread=100.0)
    queries = 10 * make_queries(4, 5, 64)
    out, maxima, denominators = block.attend(table, queries)
    expected = block.attend(REFERENCE, queries)
    assert_same_bits(out, expected[0])
    assert (maxima, denominators) == expected[1:]
    scores = block.scores(queries)
    np.testing.assert_allclose(out, block.stored_values[scores.argmax(axis=1)], rtol=0, atol=1e-3)
    np.testing.assert_allclose(denominators, 1.0, atol=1e-3)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_codes_are_the_nearest_to_what_is_stored(table: str) -> None:
    random = np.random.default_rng(6)
    for spread in (1e-30, 1e-6, 1e-3, 1.0, 1e4, 1e8):
        x = (spread * random.normal(0.0, 1.0, 64 * SCALE_CHANNELS)).astype(np.float32)
        codes, scales = _core.kernels.quantize_kv(table, x)
        expected = _core.kernels.quantize_kv(REFERENCE, x)
        assert_same_bits(codes, expected[0])
        assert_same_bits(scales, expected[1])
        if 1e-3 <= spread <= 1e4:
            scale = scales.view(np.float16).astype(np.float64).repeat(SCALE_CHANNELS)
            # Half a step, and what the rounding of the scale moves the largest codes beyond it.
            assert np.all(np.abs(codes * scale - x) <= scale * (0.5 + 127 * 2.0**-11))


@pytest.mark.parametrize("table", ALL_TABLES)
def test_extreme_blocks_of_keys(table: str) -> None:
    """Zeros stay zeros; what is no finite number is not made to look like one."""
    x = np.zeros(6 * SCALE_CHANNELS, np.float32).reshape(6, -1)
    x[1, 3], x[2, 4], x[3, 5] = np.nan, -np.inf, 1e30
    x[4, :4] = 3.4e-6, -3.4e-6, 2e-6, 1e-7  # a scale among the smallest halves, rounded down
    x[5] = np.ldexp(1.0, np.arange(-16, 16)).astype(np.float32)
    codes, scales = _core.kernels.quantize_kv(table, x.ravel())
    expected = _core.kernels.quantize_kv(REFERENCE, x.ravel())
    assert_same_bits(codes, expected[0])
    assert_same_bits(scales, expected[1])
    values = scales.view(np.float16)
    assert values[0] == 0
    assert np.isnan(values[1])
    assert np.isinf(values[2:4]).all()
    assert not codes[: 4 * SCALE_CHANNELS].any()
    assert np.isfinite(values[4:]).all()


@pytest.mark.parametrize("table", ALL_TABLES)
def test_the_widest_codes_keep_their_products(table: str) -> None:
    """Every product and multiplier at its largest: no sum may leave its integer."""
    queries = np.tile(np.array([1.0, -1.0], np.float32), (4, 64))
    queries[:, 16::32] = 0.125  # the other part's multiplier becomes 8
    for sign in (1.0, -1.0):
        block = KeyBlock(Q8_0, 0, 128, BLOCK)
        block.keys[:] = sign * queries[0]
        out, maxima, denominators = block.attend(table, queries)
        expected = block.attend(REFERENCE, queries)
        assert_same_bits(out, expected[0])
        assert (maxima, denominators) == expected[1:]
        np.testing.assert_allclose(maxima, block.scores(queries).max(axis=1), rtol=1e-6)


def test_arrays_that_do_not_fit_are_refused() -> None:
    queries, block = np.zeros((1, 64), np.float32), np.zeros(64 * 64, np.float32)
    attend = _core.kernels.attend
    for visible in ([0], [65], [], [1, 1]):
        with pytest.raises(ValueError, match="visible"):
            attend(REFERENCE, F16, queries, block, block, visible, 1.0)
    with pytest.raises(ValueError, match="ascending"):
        attend(REFERENCE, F16, np.zeros((2, 64), np.float32), block, block, [2, 1], 1.0)
    for hidden in ([1], [0, 0]):
        with pytest.raises(ValueError, match="hidden"):
            attend(REFERENCE, F16, queries, block, block, [1], 1.0, 0.0, hidden)
    with pytest.raises(ValueError, match="block"):
        attend(REFERENCE, F16, queries, block[:-1], block, [1], 1.0)
    with pytest.raises(ValueError, match="queries"):
        attend(REFERENCE, F16, queries[0], block, block, [1], 1.0)
    with pytest.raises(ValueError, match="'q4'"):
        attend(REFERENCE, "q4", queries, block, block, [1], 1.0)
    with pytest.raises(ValueError, match="multiple of 32"):
        attend(REFERENCE, Q8_0, queries[:, :48], block[: 64 * 48], block[: 64 * 48], [1], 1.0)
    with pytest.raises(ValueError, match="blocks of 32"):
        _core.kernels.quantize_kv(REFERENCE, block[:33])
