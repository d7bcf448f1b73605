"""Kernels on rows of numbers: quantizing inputs, norms, rotations, activations, halves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine import _core, _core_tests
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, UNIT, assert_same_bits

kernels = _core.kernels

AWKWARD_SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 576, 961)
LEAST_MAGNITUDE = 2.0**-100
"""Blocks whose values are all smaller count as zero."""

finite_rows = arrays(np.float32, 512, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
moderate_rows = arrays(np.float32, 512, elements=st.floats(-1e4, 1e4, width=32), fill=st.just(np.float32(0.25)))
# Rows of one magnitude each, from the smallest float to the largest.
scaled_rows = st.builds(np.ldexp, moderate_rows, st.integers(-149, 110))
rows = st.one_of(finite_rows, moderate_rows, scaled_rows)


@given(rows, st.sampled_from([32, 256]))
@settings(max_examples=60, deadline=None)
def test_codes_stand_for_their_values_within_half_a_step(x: Floats, block: int) -> None:
    codes, multipliers, scales, sums = kernels.quantize(REFERENCE, x, block)
    part = 16 if block == 32 else 32
    assert np.abs(codes.astype(int)).max() <= 127
    assert set(multipliers) <= {1, 2, 4, 8}
    by_value = np.repeat(np.array(multipliers), part)
    steps = np.repeat(np.array(scales), block) * by_value
    largest = np.abs(x.astype(np.float64)).reshape(-1, block).max(axis=1)
    counts = np.repeat(largest >= LEAST_MAGNITUDE, block)
    # A little more than half: the inverse scale is a rounded float, worth up to 2^-22 of the 127 steps.
    assert np.all(np.abs(x - steps * codes)[counts] <= (steps * (0.5 + 127 * 2.0**-22))[counts])
    assert not codes[~counts].any()
    assert set(sums) == ({32} if block == 32 else {16, 32})
    for group, of_group in sums.items():
        np.testing.assert_array_equal(of_group, (codes.astype(int) * by_value).reshape(-1, group).sum(axis=1))


@pytest.mark.parametrize("table", FAST_TABLES)
@given(x=rows, block=st.sampled_from([32, 256]))
@settings(max_examples=60, deadline=None)
def test_every_table_quantizes_alike(table: str, x: Floats, block: int) -> None:
    codes, multipliers, scales, sums = kernels.quantize(table, x, block)
    expected_codes, expected_multipliers, expected_scales, expected_sums = kernels.quantize(REFERENCE, x, block)
    assert_same_bits(codes, expected_codes)
    assert multipliers == expected_multipliers
    assert_same_bits(np.array(scales), np.array(expected_scales))
    assert sums == expected_sums


def test_a_part_without_the_outlier_keeps_finer_codes() -> None:
    x = np.full(32, 0.1, np.float32)
    x[3] = 100.0
    codes, multipliers, scales, _ = kernels.quantize(REFERENCE, x, 32)
    assert multipliers == [8, 1]
    assert codes[3] == 127
    assert scales[0] == pytest.approx(100.0 / 127 / 8)
    assert codes[16] == 1


@pytest.mark.parametrize("table", ALL_TABLES)
def test_ties_go_to_the_even_code(table: str) -> None:
    x = np.zeros(32, np.float32)
    x[:5] = [127.0, 0.5, 1.5, 2.5, -0.5]
    codes, multipliers, _, _ = kernels.quantize(table, x, 32)
    assert multipliers[0] == 8
    assert codes[:5].tolist() == [127, 0, 2, 2, 0]


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_block_of_nothing_quantizes_to_nothing(table: str) -> None:
    for value in (0.0, -0.0, 1e-45, 1e-38, 2.0**-101):
        codes, _, _, sums = kernels.quantize(table, np.full(256, value, np.float32), 256)
        assert not codes.any()
        assert not any(any(of_group) for of_group in sums.values())


@pytest.mark.parametrize("table", ALL_TABLES)
def test_quantizing_part_of_a_block_is_refused(table: str) -> None:
    for size, block in ((33, 32), (128, 256), (64, 64)):
        with pytest.raises(ValueError, match="block"):
            kernels.quantize(table, np.zeros(size, np.float32), block)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("magnitude", [1e-6, 1.0, 1e6])
def test_rms_norm(table: str, magnitude: float) -> None:
    """Sixteen partial sums of n / 16 fused additions, halved by the root; four to add them, six roundings after."""
    random = np.random.default_rng(4)
    for n in AWKWARD_SIZES:
        x = (magnitude * random.normal(0.0, 1.0, n)).astype(np.float32)
        weight = random.normal(1.0, 0.5, n).astype(np.float32)
        out = kernels.rms_norm(table, x, weight, 1e-5)
        assert_same_bits(out, kernels.rms_norm(REFERENCE, x, weight, 1e-5))
        exact = x.astype(np.float64) / np.sqrt(np.mean(np.square(x, dtype=np.float64)) + 1e-5) * weight
        np.testing.assert_allclose(out, exact, rtol=(n / 32 + 10) * UNIT, atol=1e-37)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize(("head_dim", "dimensions"), [(64, 64), (128, 128), (80, 32), (36, 36), (96, 10), (8, 2)])
def test_rotate(table: str, halves: bool, head_dim: int, dimensions: int) -> None:
    random = np.random.default_rng(5)
    heads = random.normal(0.0, 2.0, (3, head_dim)).astype(np.float32)
    angles = random.uniform(0.0, 2000.0, dimensions // 2)
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    out = kernels.rotate(table, heads.ravel(), head_dim, cosines, sines, halves)
    assert_same_bits(out, kernels.rotate(REFERENCE, heads.ravel(), head_dim, cosines, sines, halves))
    channels = np.arange(dimensions).reshape(2, -1) if halves else np.arange(dimensions).reshape(-1, 2).T
    a, b = heads.astype(np.float64)[:, channels[0]], heads.astype(np.float64)[:, channels[1]]
    rotated = out.reshape(3, head_dim)
    # One product is rounded, then the fused sum.
    bound = 2 * UNIT * (np.abs(a) + np.abs(b))
    assert np.all(np.abs(rotated[:, channels[0]] - (a * cosines - b * sines)) <= bound)
    assert np.all(np.abs(rotated[:, channels[1]] - (a * sines + b * cosines)) <= bound)
    assert_same_bits(rotated[:, dimensions:], heads[:, dimensions:])


@pytest.mark.parametrize("table", ALL_TABLES)
def test_silu_multiply(table: str) -> None:
    """Exp is good to 1.2 units, the sum, quotient and product to one each; near -88 and below, exp is clamped."""
    random = np.random.default_rng(6)
    for n in AWKWARD_SIZES:
        gate = (random.choice([0.1, 3.0, 30.0, 150.0], n) * random.normal(0.0, 1.0, n)).astype(np.float32)
        up = random.normal(0.0, 1.0, n).astype(np.float32)
        out = kernels.silu_multiply(table, gate, up)
        assert_same_bits(out, kernels.silu_multiply(REFERENCE, gate, up))
        x = gate.astype(np.float64)
        np.testing.assert_allclose(out, x / (1 + np.exp(-x)) * up, rtol=6 * UNIT, atol=1e-35)


def test_silu_at_every_magnitude() -> None:
    exponents = np.arange(-126, 127)
    edges = [0.0, -0.0, 87.0, -87.0, 88.0, -88.0, -87.00001, -88.00001, np.inf]
    gate = np.concatenate([np.ldexp(1.3, exponents), -np.ldexp(1.3, exponents), edges]).astype(np.float32)
    up = np.ones_like(gate)
    expected = kernels.silu_multiply(REFERENCE, gate, up)
    assert np.all(np.isfinite(expected[:-1]))
    assert expected[-1] == np.inf
    for param in FAST_TABLES:
        (table,) = param.values
        if not _core.kernel_tables()[table]:
            assert_same_bits(kernels.silu_multiply(table, gate, up), expected)


def gelu(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0.5 x (1 + tanh(y)), without the cancellation of a tanh near -1."""
    with np.errstate(over="ignore"):
        return np.asarray(x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


@pytest.mark.parametrize("table", ALL_TABLES)
def test_gelu_multiply(table: str) -> None:
    """The exponent is rounded by up to its own magnitude's unit, of which exp makes a relative error."""
    random = np.random.default_rng(8)
    for n in AWKWARD_SIZES:
        gate = (random.choice([0.01, 1.0, 3.0], n) * random.normal(0.0, 1.0, n)).astype(np.float32)
        up = random.normal(0.0, 1.0, n).astype(np.float32)
        out = kernels.gelu_multiply(table, gate, up)
        assert_same_bits(out, kernels.gelu_multiply(REFERENCE, gate, up))
        x = gate.astype(np.float64)
        exponents = np.abs(x * (1.6 + 0.0714 * x * x))
        bound = np.abs(gelu(x) * up) * (6 + 4 * exponents) * UNIT + 1e-35
        assert np.all(np.abs(out - gelu(x) * up) <= bound)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_gelu_at_every_magnitude(table: str) -> None:
    gate = np.concatenate([np.ldexp(1.3, np.arange(-126, 60)), -np.ldexp(1.3, np.arange(-126, 60))]).astype(np.float32)
    out = kernels.gelu_multiply(table, gate, np.ones_like(gate))
    assert_same_bits(out, kernels.gelu_multiply(REFERENCE, gate, np.ones_like(gate)))
    assert np.all(np.isfinite(out))
    np.testing.assert_allclose(out, gelu(gate.astype(np.float64)), rtol=1e-5, atol=1e-18)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_layer_norm(table: str) -> None:
    """What the mean loses to rounding is in units of the numbers, not of their distances from it."""
    random = np.random.default_rng(11)
    for n in AWKWARD_SIZES[1:]:
        x = random.normal(3.0, 2.0, n).astype(np.float32)
        weight, bias = random.normal(1.0, 0.5, (2, n)).astype(np.float32)
        for added in (bias, bias[:0]):
            out = kernels.layer_norm(table, x, weight, added, 1e-5)
            assert_same_bits(out, kernels.layer_norm(REFERENCE, x, weight, added, 1e-5))
            exact = x.astype(np.float64) - x.mean(dtype=np.float64)
            spread = np.sqrt(np.mean(exact**2) + 1e-5)
            bound = (n / 16 + 20) * UNIT * (np.abs(x).max() / spread + 1) ** 2 * (np.abs(weight) + np.abs(bias))
            expected = exact / spread * weight + (added.astype(np.float64) if len(added) else 0)
            assert np.all(np.abs(out - expected) <= bound)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_clamped_silu_multiply(table: str) -> None:
    random = np.random.default_rng(12)
    for n in AWKWARD_SIZES:
        gate, up = (random.choice([0.1, 3.0, 30.0], (2, n)) * random.normal(0.0, 1.0, (2, n))).astype(np.float32)
        out = kernels.clamped_silu_multiply(table, gate, up)
        assert_same_bits(out, kernels.clamped_silu_multiply(REFERENCE, gate, up))
        x, y = np.minimum(gate.astype(np.float64), 7.0), np.clip(up.astype(np.float64), -7.0, 7.0)
        exact = x / (1 + np.exp(-np.float32(1.702) * x)) * (y + 1)
        np.testing.assert_allclose(out, exact, rtol=0, atol=2e-6 * (np.abs(x) + 1).max() * 8)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_functions_of_single_numbers(table: str) -> None:
    """Each is the gated one's of the same name with ups of one, or what its formula says."""
    random = np.random.default_rng(13)
    for n in AWKWARD_SIZES:
        x = (random.choice([0.01, 1.0, 30.0], n) * random.normal(0.0, 1.0, n)).astype(np.float32)
        assert_same_bits(kernels.gelu(table, x), kernels.gelu_multiply(table, x, np.ones_like(x)))
        assert_same_bits(kernels.squared_relu(table, x), np.square(np.maximum(x, np.float32(0))))
        sigmoid = kernels.sigmoid(table, x)
        assert_same_bits(sigmoid, kernels.sigmoid(REFERENCE, x))
        np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-x.astype(np.float64))), rtol=5 * UNIT, atol=1e-37)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("cap", [0.5, 30.0, 50.0])
def test_soft_cap(table: str, cap: float) -> None:
    """The difference of the cap and what is taken from it: a few units of the cap, however small the result."""
    random = np.random.default_rng(9)
    for n in AWKWARD_SIZES:
        x = (cap * random.choice([1e-3, 0.3, 2.0, 100.0], n) * random.normal(0.0, 1.0, n)).astype(np.float32)
        out = kernels.soft_cap(table, x, cap)
        assert_same_bits(out, kernels.soft_cap(REFERENCE, x, cap))
        np.testing.assert_allclose(out, cap * np.tanh(x.astype(np.float64) / cap), rtol=0, atol=8 * cap * UNIT)
    edges = np.array([0.0, -0.0, 3e38, -3e38, 1e30, -1e30], np.float32)
    capped = kernels.soft_cap(table, edges, cap)
    assert capped.tolist() == [0, 0, cap, -cap, cap, -cap]


@pytest.mark.parametrize("table", ALL_TABLES)
def test_softmax(table: str) -> None:
    random = np.random.default_rng(10)
    for n in AWKWARD_SIZES:
        x = (5 * random.normal(0.0, 1.0, n)).astype(np.float32)
        out = kernels.softmax(table, x)
        assert_same_bits(out, kernels.softmax(REFERENCE, x))
        weights = np.exp(x.astype(np.float64) - x.max())
        np.testing.assert_allclose(out, weights / weights.sum(), rtol=(n / 16 + 40) * UNIT)
    assert kernels.softmax(table, np.array([7.0], np.float32)).tolist() == [1.0]
    assert kernels.softmax(table, np.array([0.0, -500.0], np.float32)).tolist() == [1.0, 0.0]


def every_kind_of_float() -> Floats:
    """Every exponent with telling mantissas; every half's value, its midpoint to the next, and their neighbours."""
    mantissas = np.array([0, 1, 0xFFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0x2FFF, 0x3000, 0x3001, 0x5A5A5A, 0x7FFFFF])
    bits = ((np.arange(256)[:, None] << 23) | mantissas).ravel().astype(np.uint32)
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    exact = finite.view(np.uint32)
    middle = ((finite[:-1].astype(np.float64) + finite[1:]) / 2).astype(np.float32).view(np.uint32)
    positive = np.concatenate([bits, exact, exact + 1, exact[1:] - 1, middle, middle + 1, middle - 1]).astype(np.uint32)
    return np.concatenate([positive, positive | np.uint32(0x80000000)]).view(np.float32)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_half_from_float_rounds_like_ieee(table: str) -> None:
    x = every_kind_of_float()
    out = kernels.half_from_float(table, x)
    assert_same_bits(out, kernels.half_from_float(REFERENCE, x))
    with np.errstate(all="ignore"):
        expected = x.astype(np.float16)
    nan = np.isnan(x)
    assert_same_bits(out[~nan], expected[~nan].view(np.uint16))
    assert np.isnan(out[nan].view(np.float16)).all()


@pytest.mark.parametrize("table", ALL_TABLES)
def test_half_from_float_on_awkward_sizes(table: str) -> None:
    x = np.random.default_rng(7).normal(0.0, 100.0, 961).astype(np.float32)
    for n in AWKWARD_SIZES:
        assert_same_bits(kernels.half_from_float(table, x[:n]), x[:n].astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("table", ALL_TABLES)
def test_keys_are_ordered_as_numbers_are(table: str) -> None:
    def key(*values: float) -> int:
        return _core_tests.largest_key(table, np.array(values, np.float32))

    numbers = [-3e38, -1.5, -1e-30, 0.0, 1e-30, 2.0, 3e38]
    keys = [key(number) for number in numbers]
    assert keys == sorted(set(keys))
    assert key(-0.0) == key(0.0) == key(1e-40)  # subnormals count as zero
    for size in (1, 7, 8, 9, 100):
        x = np.random.default_rng(size).normal(-5.0, 1.0, size).astype(np.float32)
        assert key(*x.tolist()) == key(float(x.max()))
        for value in (np.nan, np.inf, -np.inf):
            for place in {0, size // 2, size - 1}:
                damaged = x.copy()
                damaged[place] = value
                assert key(*damaged.tolist()) == 2**31 - 1 > key(3.4e38)


def test_arrays_that_do_not_fit_are_refused() -> None:
    x, shorter = np.zeros(8, np.float32), np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="size"):
        kernels.rms_norm(REFERENCE, x, shorter, 1e-5)
    with pytest.raises(ValueError, match="size"):
        kernels.silu_multiply(REFERENCE, x, shorter)
    with pytest.raises(ValueError, match="size"):
        kernels.gelu_multiply(REFERENCE, x, shorter)
    with pytest.raises(ValueError, match="size"):
        kernels.layer_norm(REFERENCE, x, x, shorter, 1e-5)
    with pytest.raises(ValueError, match="size"):
        kernels.clamped_silu_multiply(REFERENCE, x, shorter)
    with pytest.raises(ValueError, match="cap"):
        kernels.soft_cap(REFERENCE, x, 0.0)
    with pytest.raises(ValueError, match="empty"):
        kernels.softmax(REFERENCE, x[:0])
    for head_dim, cosines, sines in ((0, shorter, shorter), (3, x, x), (8, shorter, x), (4, shorter, shorter)):
        with pytest.raises(ValueError, match="heads"):
            kernels.rotate(REFERENCE, x, head_dim, cosines, sines, True)
