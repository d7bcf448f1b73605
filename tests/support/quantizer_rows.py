"""Rows that quantizers find easy and hard, made from a seed; [rows, columns]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

BLOCK_TYPES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
SUPER_BLOCK_TYPES = ("Q4_K", "Q5_K", "Q6_K", "Q3_K", "IQ4_XS")
QUANTIZED_TYPES = (*BLOCK_TYPES, *SUPER_BLOCK_TYPES, "IQ4_NL")


def _normal(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return random.normal(0.0, 0.05, shape)


def _sparse(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return np.where(random.random(shape) < 0.05, random.normal(0.0, 1.0, shape), 0.0)


def _constant(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Blocks of one value, of either sign; some of zeros of either sign."""
    blocks = random.choice([0.0, -0.0, 0.25, -0.25, 1e-3], (shape[0], shape[1] // 32))
    return np.repeat(blocks, 32, axis=1)


def _tied_extremes(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Few distinct values, so that the largest magnitude comes with both signs."""
    return np.asarray(random.choice([-1.0, -0.5, -0.0, 0.0, 0.5, 1.0], shape), np.float64)


def _wide_range(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return random.normal(0.0, 1.0, shape) * np.exp2(random.integers(-30, 10, shape).astype(np.float64))


def _by_block(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Sub-blocks beside each other that differ by many powers of two: some scales are rounded to nothing."""
    powers = np.exp2(random.integers(-24, 4, (shape[0], shape[1] // 16)).astype(np.float64))
    spread: npt.NDArray[np.float64] = np.repeat(powers, 16, axis=1)
    return random.normal(0.0, 1.0, shape) * spread


def _subnormal(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return random.normal(0.0, 1.0, shape) * np.exp2(random.integers(-148, -120, (shape[0], 1)).astype(np.float64))


def _one_of(value: float) -> Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.float64]]:
    """Ordinary rows in which one number of each has that magnitude, of either sign."""

    def rows(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        values = _normal(random, shape)
        columns = random.integers(0, shape[1], shape[0])
        values[np.arange(shape[0]), columns] = value * random.choice([-1.0, 1.0], shape[0])
        return values

    return rows


def _negative_zero(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Zeros of which most are negative, and one other number in a block of 256."""
    values = np.where(random.random(shape) < 0.9, -0.0, 0.0)
    columns = random.integers(0, 256, (shape[0], shape[1] // 256)) + 256 * np.arange(shape[1] // 256)
    np.put_along_axis(values, columns, random.choice([-1.0, -1e-20, 1e-20, 1.0], columns.shape), 1)
    return values


def _partly_subnormal(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Subnormal numbers beside ordinary ones, and beside the least normal one."""
    scale = random.choice([1.0, 2.0**-126, 2.0**-149], shape, p=[0.1, 0.2, 0.7])
    values: npt.NDArray[np.float64] = random.normal(0.0, 2.0, shape) * scale
    return values


ROW_KINDS: dict[str, Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.float64]]] = {
    "normal": _normal,
    "heavy_tailed": lambda random, shape: random.standard_t(2.0, shape) * 0.02,
    "sparse": _sparse,
    "zero": lambda random, shape: np.zeros(shape),
    "positive": lambda random, shape: np.abs(random.normal(0.0, 1.0, shape)),
    "negative": lambda random, shape: -np.abs(random.normal(0.0, 1.0, shape)) - 0.5,
    "constant": _constant,
    "tied_extremes": _tied_extremes,
    "wide_range": _wide_range,
    "by_block": _by_block,
    "subnormal": _subnormal,
    "partly_subnormal": _partly_subnormal,
    "negative_zero": _negative_zero,
    "large": lambda random, shape: random.normal(0.0, 1e6, shape),
    "too_large": lambda random, shape: random.normal(0.0, 1e9, shape),
    "one_large": _one_of(1e7),
    "near_constant": lambda random, shape: 1.0 + random.integers(0, 3, shape).astype(np.float64) * 2.0**-23,
}

IMPORTANCE_KINDS: dict[str, Callable[[np.random.Generator, int], npt.NDArray[np.float64]]] = {
    "even": lambda random, size: np.ones(size),
    "uneven": lambda random, size: np.exp(random.normal(0.0, 3.0, size)),
    "sparse": lambda random, size: np.where(random.random(size) < 0.1, random.random(size), 0.0),
    "zero": lambda random, size: np.zeros(size),
}


def make_rows(kind: str, rows: int, columns: int, seed: int = 0) -> Floats:
    return ROW_KINDS[kind](np.random.default_rng(seed), (rows, columns)).astype(np.float32)


def make_importance(kind: str | None, columns: int, seed: int = 0) -> Floats | None:
    """None makes none."""
    if kind is None:
        return None
    return IMPORTANCE_KINDS[kind](np.random.default_rng(seed + 1), columns).astype(np.float32)
