"""Weights as a file holds them: valid random blocks of every tensor type, extreme ones among them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gguf
import numpy as np
import numpy.typing as npt
from gguf import quants

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BlockLayout:
    """Places of the parts in a block."""

    block_elements: int
    block_bytes: int
    scale_at: int
    """An f16; of MXFP4 an exponent, one byte; of IQ1_M four bits of it at the top of each of four words."""
    minimum_at: int | None = None
    codes: tuple[int, int] = (0, 0)
    """Begin and end, of the types that have a minimum."""


LAYOUTS = {
    "Q8_0": BlockLayout(32, 34, 0),
    "Q4_0": BlockLayout(32, 18, 0),
    "Q4_1": BlockLayout(32, 20, 0, 2, (4, 20)),
    "Q5_0": BlockLayout(32, 22, 0),
    "Q5_1": BlockLayout(32, 24, 0, 2, (4, 24)),
    "IQ4_NL": BlockLayout(32, 18, 0),
    "MXFP4": BlockLayout(32, 17, 0),
    "Q2_K": BlockLayout(256, 84, 80, 82, (16, 80)),
    "Q3_K": BlockLayout(256, 110, 108),
    "Q4_K": BlockLayout(256, 144, 0, 2, (16, 144)),
    "Q5_K": BlockLayout(256, 176, 0, 2, (16, 176)),
    "Q6_K": BlockLayout(256, 210, 208),
    "IQ4_XS": BlockLayout(256, 136, 0),
    "IQ1_S": BlockLayout(256, 50, 0),
    "IQ1_M": BlockLayout(256, 56, 48),
    "IQ2_XXS": BlockLayout(256, 66, 0),
    "IQ2_XS": BlockLayout(256, 74, 0),
    "IQ2_S": BlockLayout(256, 82, 0),
    "IQ3_XXS": BlockLayout(256, 98, 0),
    "IQ3_S": BlockLayout(256, 110, 0),
    "TQ1_0": BlockLayout(256, 54, 52),
    "TQ2_0": BlockLayout(256, 66, 64),
}
FLOAT_TYPES = ("F32", "F16", "BF16")
TENSOR_TYPES = (*FLOAT_TYPES, *LAYOUTS)
# Zero, subnormal, negative and large ones: a scale is any finite half.
AWKWARD_HALVES = np.array([0.0, -0.0, 6e-8, -3e-5, 6.2e-5, -0.5, 1.0, 100.0], np.float16)
# Powers of two from 128 on: subnormal floats, the least normal one, and beyond a half on both sides.
AWKWARD_EXPONENTS = np.array([0, 1, 2, 60, 100, 128, 146], np.uint8)


def random_weights(random: np.random.Generator, type_name: str, rows: int, columns: int) -> Bytes:
    """[rows, bytes of a row]. A fifth of the scales and minimums are awkward; codes are any bits."""
    if type_name in FLOAT_TYPES:
        values = random.normal(0.0, 0.05, (rows, columns)).astype(np.float32)
        values[random.random((rows, columns)) < 0.02] *= np.float32(2.0**-20)
        return encode_floats(type_name, values)
    layout = LAYOUTS[type_name]
    blocks = random.integers(0, 256, (rows, columns // layout.block_elements, layout.block_bytes), dtype=np.uint8)
    if type_name == "MXFP4":
        blocks[:, :, 0] = _random_exponents(random, blocks.shape[:2])
    else:
        for at in (layout.scale_at, layout.minimum_at):
            if at is not None:
                put_halves(type_name, blocks, at, _random_halves(random, blocks.shape[:2]))
    return blocks.reshape(rows, -1)


def put_halves(type_name: str, blocks: Bytes, at: int, halves: npt.NDArray[np.float16]) -> None:
    """Set an f16 of every block, [..., bytes of a block]."""
    if type_name != "IQ1_M":
        blocks[..., at : at + 2] = halves[..., np.newaxis].view(np.uint8)
        return
    words = blocks[..., at : at + 8]
    words &= np.array([0xFF, 0x0F] * 4, np.uint8)
    words |= spread_halves(halves[..., np.newaxis])


def spread_halves(halves: npt.NDArray[np.float16]) -> Bytes:
    """[..., 1] to [..., 8]: IQ1_M's form of an f16, four bits of it at the top of each of four 16-bit words."""
    words = halves.view("<u2") >> np.array([0, 4, 8, 12], np.uint16) << np.uint16(12)
    return np.asarray(words, "<u2").view(np.uint8)


def set_scales(type_name: str, weights: Bytes, scale: float) -> None:
    """Set the scales and minimums of every block; MXFP4 takes the next lower power of two."""
    layout = LAYOUTS[type_name]
    blocks = weights.reshape(-1, layout.block_bytes)
    if type_name == "MXFP4":
        blocks[:, 0] = 128 + math.floor(math.log2(scale))
        return
    for at in (layout.scale_at, layout.minimum_at):
        if at is not None:
            put_halves(type_name, blocks, at, np.full(len(blocks), scale, np.float16))


def encode_floats(type_name: str, values: Floats) -> Bytes:
    if type_name == "F32":
        return values.view(np.uint8)
    if type_name == "F16":
        return values.astype(np.float16).view(np.uint8)
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def dequantize(type_name: str, weights: Bytes) -> npt.NDArray[np.float64]:
    """[rows, columns], by the format's own reference."""
    return dequantize_floats(type_name, weights).astype(np.float64)


def dequantize_floats(type_name: str, weights: Bytes) -> Floats:
    """The same as the reference gives it."""
    if type_name in ("F32", "F16"):
        return weights.view(np.float32 if type_name == "F32" else np.float16).astype(np.float32)
    return np.asarray(quants.dequantize(weights, gguf.GGMLQuantizationType[type_name]), np.float32)


def minimums(type_name: str, weights: Bytes) -> npt.NDArray[np.float64]:
    """What every weight would be if its code were 0: [rows, columns], 0 for the types without a minimum."""
    layout = LAYOUTS.get(type_name)
    if layout is None or layout.minimum_at is None:
        return np.zeros_like(dequantize(type_name, weights))
    blocks = weights.reshape(len(weights), -1, layout.block_bytes).copy()
    begin, end = layout.codes
    blocks[:, :, begin:end] = 0
    return dequantize(type_name, blocks.reshape(len(weights), -1))


def _random_exponents(random: np.random.Generator, shape: tuple[int, ...]) -> Bytes:
    exponents = random.integers(118, 126, shape, dtype=np.uint8)
    awkward = random.random(shape) < 0.2
    exponents[awkward] = random.choice(AWKWARD_EXPONENTS, int(awkward.sum()))
    return exponents


def _random_halves(random: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    halves = random.normal(0.0, 0.02, shape).astype(np.float16)
    awkward = random.random(shape) < 0.2
    halves[awkward] = random.choice(AWKWARD_HALVES, int(awkward.sum()))
    return halves
