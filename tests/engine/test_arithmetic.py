"""The digest of what a build computes: one for all kernel tables and processors, and one for each version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from engine.identity.arithmetic import arithmetic_digest, results
from engine.identity.version import ENGINE_VERSION
from engine.weights.derived_weights import QUANTIZER_VERSION
from tests.support.blocks import TENSOR_TYPES
from tests.support.kernel_tables import ALL_TABLES, REFERENCE

COMMITTED: dict[str, str] = json.loads((Path(__file__).parent / "arithmetic.json").read_text())
"""Digests by version of the engine and of its quantizer. One is added with a version and never changed."""


def test_a_version_stands_for_one_arithmetic() -> None:
    assert COMMITTED[ENGINE_VERSION] == arithmetic_digest(), (
        "the bits of results have changed: give pyproject.toml a new version, and arithmetic.json the digest of that"
    )


def test_a_version_of_the_quantizer_stands_for_one_arithmetic() -> None:
    """Weights in the cache are found by that version."""
    digest = hashlib.sha256()
    for name, bits in results(REFERENCE):
        if name.startswith("quantize "):
            digest.update(bits)
    assert COMMITTED[f"quantizer {QUANTIZER_VERSION}"] == digest.hexdigest()[:32], (
        "quantized weights have changed: raise QUANTIZER_VERSION, and give arithmetic.json the digest of that"
    )


@pytest.mark.parametrize("table", ALL_TABLES)
def test_every_kernel_table_has_the_same(table: str) -> None:
    expected, found = dict(results(REFERENCE)), dict(results(table))
    assert [name for name in expected if expected[name] != found.get(name)] == []
    assert arithmetic_digest(table) == arithmetic_digest(REFERENCE)


def test_everything_that_bears_results_takes_part() -> None:
    names = set(dict(results(REFERENCE)))
    for type_name in TENSOR_TYPES:
        assert {f"multiply {type_name}", f"dequantize {type_name}"} <= names
    for kv_cache in ("f16", "q8_0"):
        assert {f"attend {kv_cache} 0.0", f"model gemma2 {kv_cache}", f"model qwen3moe {kv_cache}"} <= names
    assert {"layer_norm", "clamped_silu", "gelu alone", "squared_relu alone", "sigmoid alone", "convolve"} <= names
    assert {"rms_norm", "silu", "gelu", "rotate True", "sampler", "evaluation", "quantize Q4_K"} <= names


def test_results_are_numbers_and_not_all_the_same() -> None:
    for name, bits in results(REFERENCE):
        assert len(set(bits)) > 3, name
        if name.startswith(("multiply", "dequantize", "model", "attend")):
            assert np.isfinite(np.frombuffer(bits, np.float32)).all(), name


@pytest.mark.parametrize("kernel", ["multiply", "rms_norm", "softmax", "dequantize", "gelu_multiply"])
def test_one_bit_of_one_result_shows(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = arithmetic_digest.__wrapped__(REFERENCE)
    computed = getattr(_core.kernels, kernel)

    def off_by_a_bit(*arguments: Any) -> Any:
        result = computed(*arguments)
        result.view(np.uint32).flat[-1] ^= 1
        return result

    monkeypatch.setattr(_core.kernels, kernel, off_by_a_bit)
    assert arithmetic_digest.__wrapped__(REFERENCE) != before
