"""NaN and infinities reach whatever a kernel makes of them, the same from every table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core, _core_tests
from tests.support.blocks import FLOAT_TYPES, LAYOUTS, TENSOR_TYPES, Floats, random_weights
from tests.support.kernel_tables import ALL_TABLES, REFERENCE, assert_same_bits

kernels = _core.kernels

_BITS = {
    "NaN": 0x7FC00000,
    "negative NaN": 0xFFC00000,
    "NaN of all ones": 0xFFFFFFFF,
    "NaN with other bits": 0x7FC00155,
    "signalling NaN": 0x7F800001,
    "infinity": 0x7F800000,
    "negative infinity": 0xFF800000,
}
VALUES = [pytest.param(np.uint32(bits).view(np.float32), id=name) for name, bits in _BITS.items()]
SIZES = (1, 7, 16, 33)
FORMS = [("f16", 36), ("f16", 64), ("f16", 128), ("q8_0", 32), ("q8_0", 96)]
CAPS = (0.0, 5.0)

every_table = pytest.mark.parametrize("table", ALL_TABLES)
every_value = pytest.mark.parametrize("value", VALUES)


def assert_same(left: npt.ArrayLike, right: npt.ArrayLike) -> None:
    """Equal as bits, any NaN being the same as any other."""
    a, b = (np.array(side, ndmin=1) for side in (left, right))
    for side in (a, b):
        if side.dtype.kind == "f":
            side[np.isnan(side)] = np.nan
    assert_same_bits(a, b)


def normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(0.0, 1.0, shape).astype(np.float32)


def having(x: Floats, value: np.float32, *place: int) -> Floats:
    damaged: Floats = x.copy()
    damaged[place] = value
    return damaged


def places(size: int) -> list[int]:
    return sorted({0, 1, size // 2, size - 1} & set(range(size)))


@every_table
@every_value
@pytest.mark.parametrize("block", [32, 256])
def test_a_quantized_block_has_no_scale_and_no_codes(table: str, value: np.float32, block: int) -> None:
    clean = normal(1, 768)
    expected_codes, expected_multipliers, expected_scales, _ = kernels.quantize(REFERENCE, clean, block)
    for place in (0, 1, 15, 16, 31, 255, 256, 300, 767):
        codes, multipliers, scales, sums = kernels.quantize(table, having(clean, value, place), block)
        own = np.arange(768) // block == place // block
        assert not codes[own].any()
        assert_same_bits(codes[~own], expected_codes[~own])
        assert np.isnan(scales[place // block])
        for of_group in sums.values():
            assert not np.array(of_group)[own.reshape(len(of_group), -1)[:, 0]].any()
        own_parts = own.reshape(len(multipliers), -1)[:, 0]
        assert set(np.array(multipliers)[own_parts]) == {1}
        assert_same_bits(np.array(multipliers)[~own_parts], np.array(expected_multipliers)[~own_parts])
        others = np.delete(np.array(scales), place // block)
        assert_same_bits(others, np.delete(np.array(expected_scales), place // block))


@every_table
@every_value
@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_every_product_with_it_is_not_finite(table: str, value: np.float32, type_name: str) -> None:
    """Those of other tokens are what they are without it, whether rows are multiplied packed or unpacked."""
    columns, rows = 512, 18
    weights = random_weights(np.random.default_rng(2), type_name, rows, columns).tobytes()
    for tokens in (1, 3, 9):
        clean = normal(3, tokens, columns)
        out = kernels.multiply(table, type_name, weights, rows, having(clean, value, tokens - 1, 300))
        assert not np.isfinite(out[-1]).any()
        assert_same_bits(out[:-1], kernels.multiply(table, type_name, weights, rows, clean)[:-1])


@every_table
@pytest.mark.parametrize("type_name", [*LAYOUTS, *FLOAT_TYPES])
def test_zero_times_an_infinity_is_not_zero(table: str, type_name: str) -> None:
    x = having(np.zeros((1, 256), np.float32), np.float32(np.inf), 0, 17)
    row_bytes = random_weights(np.random.default_rng(0), type_name, 1, 256).nbytes
    out = kernels.multiply(table, type_name, bytes(row_bytes), 1, x)
    assert np.isnan(out).all()


@every_table
@every_value
def test_a_norm_is_nan_everywhere(table: str, value: np.float32) -> None:
    for size in SIZES:
        for place in places(size):
            x, ones = having(normal(4, size), value, place), np.ones(size, np.float32)
            assert np.isnan(kernels.rms_norm(table, x, ones, 1e-5)).all()
            for bias in (ones, ones[:0]):
                assert np.isnan(kernels.layer_norm(table, x, ones, bias, 1e-5)).all()


@every_table
def test_a_norm_whose_squares_are_too_large_is_nan_and_not_zero(table: str) -> None:
    for size in SIZES:
        x = having(np.ones(size, np.float32), np.float32(1e20), size - 1)
        assert np.isnan(kernels.rms_norm(table, x, np.ones(size, np.float32), 1e-5)).all()
    assert np.isfinite(kernels.rms_norm(table, np.full(4, 1e18, np.float32), np.ones(4, np.float32), 1e-5)).all()


@every_table
@every_value
@pytest.mark.parametrize("halves", [False, True])
def test_a_rotation_keeps_it_in_both_of_its_pair(table: str, value: np.float32, halves: bool) -> None:
    """Also where it is turned by nothing, or by a right angle."""
    clean = normal(5, 2, 64)
    cosines, sines = (np.resize(np.array(turn, np.float32), 32) for turn in ([1, 0, 0.6, -0.8], [0, 1, 0.8, 0.6]))
    expected = kernels.rotate(table, clean.ravel(), 64, cosines, sines, halves)
    for place in range(64):
        out = kernels.rotate(table, having(clean, value, 1, place).ravel(), 64, cosines, sines, halves)
        partner = (place + 32) % 64 if halves else place ^ 1
        pair = [64 + place, 64 + partner]
        assert not np.isfinite(out[pair]).any()
        assert_same_bits(np.delete(out, pair), np.delete(expected, pair))
        assert_same(out, kernels.rotate(REFERENCE, having(clean, value, 1, place).ravel(), 64, cosines, sines, halves))


@every_table
@every_value
def test_a_stored_key_or_value_keeps_it(table: str, value: np.float32) -> None:
    for place in range(32):
        x = having(normal(6, 64), value, 32 + place)
        halves = kernels.half_from_float(table, x).view(np.float16)
        assert np.isfinite(np.delete(halves, 32 + place)).all()
        assert not np.isfinite(halves[32 + place])
        codes, scales = kernels.quantize_kv(table, x)
        assert np.isfinite(scales.view(np.float16)).tolist() == [True, False]
        assert not codes[32:].any()


@every_table
def test_a_key_or_value_too_large_to_be_stored_is_infinite(table: str) -> None:
    x = np.full(32, 65520.0, np.float32)
    assert np.isinf(kernels.half_from_float(table, x).view(np.float16)).all()
    _, scales = kernels.quantize_kv(table, 127 * x)
    assert np.isinf(scales.view(np.float16)).all()


class _Attention:
    """Nine queries over 64 keys, the later ones of which see more; what none sees is poisoned."""

    def __init__(self, kv_cache: str, head_dim: int, soft_cap: float) -> None:
        self.kv_cache = kv_cache
        self.soft_cap = soft_cap
        self.visible = [1, 5, 17, 20, 33, 40, 41, 41, 50]
        self.hidden = [0, 0, 2, 2, 3, 18, 18, 19, 33]
        self.queries, self.keys, self.values = (
            normal(seed, size, head_dim) for seed, size in ((7, 9), (8, 64), (9, 64))
        )
        self.keys[50:] = np.nan
        self.values[50:] = np.nan

    def seen(self, key: int) -> npt.NDArray[np.bool_]:
        """Queries that see the key: a mask."""
        return np.array([begin <= key < end for begin, end in zip(self.hidden, self.visible, strict=True)])

    def attend(self, table: str, **damaged: Floats) -> Floats:
        """Sums over their denominators."""
        inputs = {"queries": self.queries, "keys": self.keys, "values": self.values, **damaged}
        sums, maxima, denominators = kernels.attend(
            table, self.kv_cache, inputs["queries"], inputs["keys"], inputs["values"], self.visible, 0.125,
            self.soft_cap, self.hidden,
        )  # fmt: skip
        assert not np.isnan(maxima).any()
        out: Floats = sums / np.array(denominators, np.float32)[:, None]
        return out


@every_table
@every_value
@pytest.mark.parametrize("soft_cap", CAPS)
@pytest.mark.parametrize(("kv_cache", "head_dim"), FORMS)
def test_attention_keeps_what_a_query_sees_and_no_trace_of_what_it_does_not(
    table: str, value: np.float32, soft_cap: float, kv_cache: str, head_dim: int
) -> None:
    attention = _Attention(kv_cache, head_dim, soft_cap)
    clean = attention.attend(table)
    assert np.isfinite(clean).all()
    for query in (0, 4, 8):
        out = attention.attend(table, queries=having(attention.queries, value, query, head_dim // 2))
        assert not np.isfinite(out[query]).any()
        assert_same_bits(np.delete(out, query, axis=0), np.delete(clean, query, axis=0))
    for key in (0, 1, 2, 15, 16, 18, 33, 40, 49):
        seen = attention.seen(key)
        keys, values = (having(of, value, key, head_dim - 1) for of in (attention.keys, attention.values))
        out = attention.attend(table, keys=keys)
        assert not np.isfinite(out[seen]).any()
        assert_same_bits(out[~seen], clean[~seen])
        assert_same(out, attention.attend(REFERENCE, keys=keys))
        out = attention.attend(table, values=values)
        assert not np.isfinite(out[seen, -1]).any()
        assert_same_bits(out[~seen], clean[~seen])
        assert_same(out, attention.attend(REFERENCE, values=values))


@every_table
@pytest.mark.parametrize("soft_cap", CAPS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_score_that_overflows_is_not_a_weight_of_nothing(table: str, sign: float, soft_cap: float) -> None:
    """A score of minus infinity would have the weight 0, and the answer look like one."""
    attention = _Attention("f16", 64, soft_cap)
    attention.queries[:] = 1e38
    attention.keys[:50] = 0.0
    attention.keys[18, :] = sign * 60000.0
    out = attention.attend(table)
    seen = attention.seen(18)
    assert not np.isfinite(out[seen]).any()
    assert np.isfinite(out[~seen]).all()


@every_table
@every_value
def test_merging_keeps_it_on_either_side(table: str, value: np.float32) -> None:
    clean = (normal(10, 33), 1.5, 3.0)
    for maximum in (-np.inf, 1.0, 1.5, 99.0):
        other = (normal(11, 33), maximum, 2.0)
        for place in places(33):
            damaged = (having(clean[0], value, place), *clean[1:])
            for split, total in ((damaged, other), (other, damaged)):
                sums, *state = _core_tests.merge_split(table, split, total)
                assert not np.isfinite(sums[place])
                expected_sums, *expected_state = _core_tests.merge_split(REFERENCE, split, total)
                assert_same(sums, expected_sums)
                assert_same(state, expected_state)
        for split, total in (((clean[0], 1.5, float(value)), other), (other, (clean[0], 1.5, float(value)))):
            assert not np.isfinite(_core_tests.merge_split(table, split, total)[2])


Activation = Callable[[str, Floats, Floats], Floats]


@every_table
@every_value
@pytest.mark.parametrize(
    "activation",
    [kernels.silu_multiply, kernels.gelu_multiply, kernels.clamped_silu_multiply],
    ids=["silu", "gelu", "clamped silu"],
)
def test_an_activation_keeps_it_from_either_side(table: str, value: np.float32, activation: Activation) -> None:
    for size in SIZES:
        for other in (0.0, 1e-38, -2.0, 300.0, -300.0):
            for place in places(size):
                gate, up = np.full(size, other, np.float32), np.full(size, other, np.float32)
                for pair in ((having(gate, value, place), up), (gate, having(up, value, place))):
                    out = activation(table, *pair)
                    assert not np.isfinite(out[place])
                    assert np.isfinite(np.delete(out, place)).all()
                    assert_same(out, activation(REFERENCE, *pair))


@every_table
@every_value
@pytest.mark.parametrize("function", [kernels.gelu, kernels.squared_relu, kernels.sigmoid])
def test_a_function_of_single_numbers_keeps_it(
    table: str, value: np.float32, function: Callable[[str, Floats], Floats]
) -> None:
    for size in SIZES:
        for place in places(size):
            x = having(normal(14, size), value, place)
            out = function(table, x)
            assert not np.isfinite(out[place])
            assert np.isfinite(np.delete(out, place)).all()
            assert_same(out, function(REFERENCE, x))


@every_table
@every_value
@pytest.mark.parametrize("cap", [0.5, 30.0])
def test_a_soft_cap_makes_nothing_finite(table: str, value: np.float32, cap: float) -> None:
    for size in SIZES:
        for place in places(size):
            out = kernels.soft_cap(table, having(normal(12, size), value, place), cap)
            assert not np.isfinite(out[place])
            assert np.isfinite(np.delete(out, place)).all()
            assert_same(out, kernels.soft_cap(REFERENCE, having(normal(12, size), value, place), cap))


@every_table
@every_value
def test_no_probability_beside_it_is_a_number(table: str, value: np.float32) -> None:
    """No expert may be chosen as if there were a choice."""
    for size in SIZES:
        for place in places(size):
            assert np.isnan(kernels.softmax(table, having(normal(13, size), value, place))).all()
