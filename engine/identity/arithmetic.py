"""What this build computes, in one digest: the bits of a fixed self-test's results.

Two builds of one digest give the same bits for the same plan, model and request, as far as the test reaches: every type
of weights, both KV caches, every kernel, three decoders, sampler, quantizers, evaluation and embedding. Where a file
lies, what a function is called and how fast it is do not show in it; another order of a sum does. All kernel tables and
processors have the same one: docs/determinism.md.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine import _core
from engine.host.machine import kernel_tables
from engine.identity.self_test_model import GEMMA2, LLAMA, NARROW, QWEN3MOE, VOCABULARY, Floats, fixed_floats, in_memory

_FLOAT_TYPES = ("F32", "F16", "BF16")
_BLOCK_BYTES = {
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "IQ4_NL": (32, 18),
    "MXFP4": (32, 17),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ4_XS": (256, 136),
    "IQ1_S": (256, 50),
    "IQ1_M": (256, 56),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "TQ1_0": (256, 54),
    "TQ2_0": (256, 66),
}
"""Elements and bytes of a block."""
_QUANTIZED_TO = ("F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "Q3_K", "IQ4_XS", "IQ4_NL")
_ROWS, _COLUMNS = 19, 256
_FINITE = (0xBF, 0xDF)
"""Masks that keep any two bytes, read as a half, from being infinite or NaN, each by another bit of the exponent."""
_HEAD = 64
_MANY = 10_000
"""Candidates, more than are divided one by one."""
_BEYOND_ONE_SPLIT = 513
"""Keys that attention merges from two splits."""


@functools.cache
def arithmetic_digest(kernel_table: str | None = None) -> str:
    """32 hexadecimal digits, by the best kernel table of this process or by the one named; 10 to 40 ms, once.

    Raises ValueError: the table is unknown or cannot run here. InvalidRequest: ``ENGINE_CPU_FEATURES`` names what is no
    feature.
    """
    table = kernel_table or next(name for name, reason in kernel_tables().items() if not reason)
    digest = hashlib.sha256()
    for name, bits in results(table):
        digest.update(struct.pack("<QQ", len(name), len(bits)) + name.encode() + bits)
    return digest.hexdigest()[:32]


def results(table: str) -> Iterator[tuple[str, bytes]]:
    """What is computed, by its name, and the bits that come out."""
    yield from _matrices(table)
    yield from _quantizers(table)
    yield from _vectors(table)
    yield from _attention(table)
    yield from _models(table)
    yield "sampler", _bits(_drawn(table), _drawn_of_many(table))


def _bits(*arrays: npt.ArrayLike) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def _matrices(table: str) -> Iterator[tuple[str, bytes]]:
    few, many = _activations(1, 1), _activations(2, 9)
    for type_name in (*_FLOAT_TYPES, *_BLOCK_BYTES):
        weights = _weights(type_name)
        rows = [_core.kernels.multiply(table, type_name, weights, _ROWS, x) for x in (few, many)]
        yield f"multiply {type_name}", _bits(*rows)
        yield f"dequantize {type_name}", _bits(_core.kernels.dequantize(table, type_name, weights))


def _quantizers(table: str) -> Iterator[tuple[str, bytes]]:
    rows = _activations(3, 2)
    importance = np.abs(fixed_floats(4, _COLUMNS))
    for type_name in _QUANTIZED_TO:
        plain = _core.kernels.quantize_rows(table, type_name, rows)
        weighed = _core.kernels.quantize_rows(table, type_name, rows, importance)
        yield f"quantize {type_name}", plain + weighed
    for block in (32, 256):
        codes, multipliers, scales, sums = _core.kernels.quantize(table, rows.ravel(), block)
        counted = [np.asarray(sums[size], np.int32) for size in sorted(sums)]
        exact = (np.asarray(multipliers, np.int32), np.asarray(scales, np.float32), *counted)
        yield f"activations {block}", _bits(codes, *exact)
    yield "keys and values", _bits(*_core.kernels.quantize_kv(table, rows.ravel()))


def _vectors(table: str) -> Iterator[tuple[str, bytes]]:
    kernels = _core.kernels
    x, up = fixed_floats(5, 2 * _COLUMNS) * np.float32(8), fixed_floats(6, 2 * _COLUMNS)
    yield "rms_norm", _bits(kernels.rms_norm(table, x, up, 1e-5))
    yield "half_from_float", _bits(kernels.half_from_float(table, x))
    yield "silu", _bits(kernels.silu_multiply(table, x, up))
    yield "gelu", _bits(kernels.gelu_multiply(table, x, up))
    yield "layer_norm", _bits(*(kernels.layer_norm(table, x, up, bias, 1e-5) for bias in (up[::-1], up[:0])))
    yield "clamped_silu", _bits(kernels.clamped_silu_multiply(table, x, up))
    for name in ("gelu", "squared_relu", "sigmoid"):
        yield f"{name} alone", _bits(getattr(kernels, name)(table, x))
    yield "convolve", _bits(kernels.convolve(table, x.reshape(4, -1), up.reshape(4, -1)))
    yield "soft_cap", _bits(kernels.soft_cap(table, x, 5.0))
    yield "softmax", _bits(kernels.softmax(table, x))
    largest = float(x.max())
    yield "sum_exponentials", _bits(np.float64(kernels.sum_exponentials(table, x, largest)))
    yield "compare_logits", _bits(np.array(kernels.compare_logits(table, x, up, largest), np.float64))
    cosines, sines = fixed_floats(7, _HEAD // 4), fixed_floats(8, _HEAD // 4)
    for halves in (False, True):
        yield f"rotate {halves}", _bits(kernels.rotate(table, x, _HEAD, cosines, sines, halves))
    yield "natural_logarithm", _bits(np.array([kernels.natural_logarithm(y) for y in (1e-300, 0.3, 1.5, 7e200)]))


def _attention(table: str) -> Iterator[tuple[str, bytes]]:
    queries, keys, values = (fixed_floats(seed, rows, _HEAD) for seed, rows in ((9, 7), (10, 64), (11, 64)))
    visible, hidden = [1, 2, 17, 40, 63, 64, 64], [0, 0, 3, 16, 31, 32, 60]
    for kv_cache in ("f16", "q8_0"):
        for soft_cap in (0.0, 2.0):
            sums, maxima, denominators = _core.kernels.attend(
                table, kv_cache, queries, keys, values, visible, 0.7, soft_cap, hidden
            )
            state = np.array([maxima, denominators], np.float32)
            yield f"attend {kv_cache} {soft_cap}", _bits(sums, state)


def _models(table: str) -> Iterator[tuple[str, bytes]]:
    prompts = [
        [token * 29 % VOCABULARY for token in range(first, first + length)] for first, length in ((1, 21), (5, 6))
    ]
    loaded = {}
    for decoder in (LLAMA, GEMMA2, QWEN3MOE):
        with in_memory(decoder) as path:
            model = loaded[decoder.architecture] = _core.Model.load(path, table, 1)
        for kv_cache in ("f16", "q8_0"):
            logits = model.logits(prompts, prefill_chunk=8, kv_cache=kv_cache)
            yield f"model {decoder.architecture} {kv_cache}", _bits(*logits)
    long = [token * 37 % VOCABULARY for token in range(_BEYOND_ONE_SPLIT)]
    with in_memory(NARROW) as path:
        yield "model beyond one split", _bits(*_core.Model.load(path, table, 1).logits([long], last_only=True))
    text = [token * 31 % VOCABULARY for token in range(32)]
    evaluation = _core.TextEvaluation(loaded["llama"], loaded["gemma2"], text, window=16, threads=1, bos=None)
    evaluation.run()
    beside_base = [values for values in (evaluation.base_nll, evaluation.divergence) if values is not None]
    yield "evaluation", _bits(evaluation.nll, *beside_base)
    for pooling in ("mean", "cls", "last"):
        embedding = _core.TextEmbedding(loaded["llama"], prompts, pooling=pooling, normalize=True, threads=1)
        embedding.run()
        yield f"embedding {pooling}", _bits(embedding.vectors)


def _drawn(table: str) -> npt.NDArray[np.int64]:
    """Tokens that every sampler and penalty draws."""
    logits = (fixed_floats(12, VOCABULARY) * np.float32(6)).tolist()
    history = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 1, 4]
    options = [
        _core.SamplingOptions(),
        _core.SamplingOptions(order=("top_k", "top_p", "temperature"), temperature=0.8, top_k=20, top_p=0.9, seed=7),
        _core.SamplingOptions(order=("min_p", "typical_p", "temperature"), temperature=1.3, min_p=0.02, typical_p=0.8),
        _core.SamplingOptions(order=("xtc", "temperature"), temperature=1.0, xtc_probability=0.5, xtc_threshold=0.05),
        _core.SamplingOptions(
            order=("repeat_penalty", "presence_penalty", "frequency_penalty", "dry", "temperature"),
            temperature=1.0,
            repeat_penalty=1.2,
            presence_penalty=0.3,
            frequency_penalty=0.1,
            dry_multiplier=0.8,
        ),
        _core.SamplingOptions(
            order=("logit_bias", "temperature", "mirostat"), temperature=1.0, mirostat_tau=4.0, logit_bias={2: 1.5}
        ),
    ]
    runs = [_core.SamplingRun(one, choice, table) for choice, one in enumerate(options)]
    return np.array([run.sample(logits, history, position) for position in range(16) for run in runs])


def _drawn_of_many(table: str) -> npt.NDArray[np.int64]:
    """Tokens drawn from a vocabulary so large that no list of it is made: peaked, and flat."""
    options = (
        _core.SamplingOptions(order=("temperature",), temperature=0.8),
        _core.SamplingOptions(order=("top_k", "top_p", "min_p"), temperature=1.0, top_k=40, top_p=0.95, min_p=0.05),
        _core.SamplingOptions(order=("typical_p", "top_p"), temperature=1.0, typical_p=0.9, top_p=0.99),
        _core.SamplingOptions(order=("top_k", "temperature"), top_k=_MANY // 2, temperature=1.5),
    )
    logits = fixed_floats(13, _MANY)
    runs = [_core.SamplingRun(one, choice, table) for choice, one in enumerate(options)]
    rows = [logits * np.float32(spread) for spread in (2, 30)]
    return np.array([run.sample(row, [], position) for position in range(3) for run in runs for row in rows])


def _activations(seed: int, rows: int) -> Floats:
    """Some hundred times as large in places, as hidden states are."""
    x = fixed_floats(seed, rows, _COLUMNS)
    large = fixed_floats(seed + 100, rows, _COLUMNS) > np.float32(0.97)
    return np.where(large, x * np.float32(64), x)


def _weights(type_name: str) -> bytes:
    """Any codes, and scales that are any finite numbers."""
    values = fixed_floats(20, _ROWS, _COLUMNS)
    match type_name:
        case "F32":
            return values.tobytes()
        case "F16":
            return values.astype(np.float16).tobytes()
        case "BF16":
            return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    elements, size = _BLOCK_BYTES[type_name]
    floats = fixed_floats(21, _ROWS, _COLUMNS // elements * size) * np.float32(128)
    codes: npt.NDArray[np.uint8] = floats.astype(np.int8).view(np.uint8)
    for row, finite in enumerate(_FINITE):
        codes[row::2] &= np.uint8(finite)
    if type_name == "MXFP4":
        codes[:, ::size] = np.uint8(118) + codes[:, ::size] % np.uint8(8)
    return codes.tobytes()
