"""Matrix kernels against the machine's limits: one row against reading memory, many against multiplying integers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.limits import bandwidth, integer_peak
from benchmarks.rows import AT_MOST
from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine import _core_tests
from engine.bench.throughput import INTEGER_INSTRUCTIONS
from tests.support.blocks import FLOAT_TYPES, TENSOR_TYPES, random_weights

COLUMNS = 2048
VECTOR_BYTES = 128 << 20
"""Size of the matrix that one row is multiplied with: far larger than the last cache."""
MATRIX_ROWS = 4096
TOKENS = 256
_SECONDS = 0.4


def measure(setting: Setting) -> list[Figure]:
    figures: list[Figure] = []
    for type_name in TENSOR_TYPES:
        tile = random_weights(np.random.default_rng(0), type_name, 256, COLUMNS)
        for backend in setting.backends:
            figures += _vector(setting, backend, type_name, tile)
            figures += _matrix(setting, backend, type_name, tile)
    return figures


def _vector(setting: Setting, backend: str, type_name: str, tile: npt.NDArray[np.uint8]) -> Iterator[Figure]:
    weights = tile.tobytes() * (VECTOR_BYTES // tile.nbytes)
    seconds = _core_tests.time_multiply(backend, type_name, weights, COLUMNS, 1, setting.threads, _SECONDS)
    rates = [len(weights) / each for each in seconds]
    name = f"{type_name} x 1 row, {backend}, {setting.threads} threads"
    yield Figure(name, "GB/s", [rate / 1e9 for rate in rates])
    limit = bandwidth(setting.threads)
    yield Figure(f"{name}: share of bandwidth", "ratio", [rate / limit for rate in rates])
    alone = statistics.median(seconds)
    for rows, bound in AT_MOST.items():
        several = _core_tests.time_multiply(backend, type_name, weights, COLUMNS, rows, setting.threads, _SECONDS)
        name = f"{type_name} x {rows} rows / x 1 row, {backend}, {setting.threads} threads"
        yield Figure(name, "ratio", [each / alone for each in several], at_most=bound)


def _matrix(setting: Setting, backend: str, type_name: str, tile: npt.NDArray[np.uint8]) -> Iterator[Figure]:
    weights = tile.tobytes() * (MATRIX_ROWS // len(tile))
    seconds = _core_tests.time_multiply(backend, type_name, weights, COLUMNS, TOKENS, setting.threads, _SECONDS)
    rates = [MATRIX_ROWS * COLUMNS * TOKENS / each for each in seconds]
    name = f"{type_name} x {TOKENS} rows, {backend}, {setting.threads} threads"
    yield Figure(name, "GMAC/s", [rate / 1e9 for rate in rates])
    if type_name in FLOAT_TYPES:
        return  # these multiply floats
    limit = integer_peak(INTEGER_INSTRUCTIONS[backend], setting.threads)
    yield Figure(f"{name}: share of the integer peak", "ratio", [rate / limit for rate in rates])
