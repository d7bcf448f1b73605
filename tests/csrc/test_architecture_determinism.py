"""The promise of test_determinism.py for what architectures have beyond llama's parts: norms of outputs and heads,
GELU, soft caps, windows, fused matrices and experts.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from tests.support.architecture_models import ALL_CASES, CASES, DEEP_CASES, WIDE_CASES, write_architecture_model
from tests.support.blocks import Floats
from tests.support.gguf_factory import has_super_blocks
from tests.support.held_bits import BATCHES, COMBINATIONS, EVERY_TYPE, KINDS
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, assert_same_bits, ways_of
from tests.support.tiny_models import tiny_prompt

pytestmark = pytest.mark.slow

CHUNKS = (1, 7, 64, 512)
THREADS = (1, 2, 3)

_directory = tempfile.TemporaryDirectory(prefix="architectures-")


@functools.cache
def model_of(case: str, tensor_type: str, table: str, window: int | None = None) -> _core.Model:
    """The case's model; with a ``window``, one layer that has it and a long context."""
    wide = has_super_blocks(tensor_type) and f"{case}_wide" in WIDE_CASES
    model: dict[str, Any] = {**ALL_CASES[f"{case}_wide" if wide else case], "tensor_type": tensor_type}
    if window is not None:
        keys = {"attention.sliding_window": window, "attention.sliding_window_pattern": 0}
        model |= {"n_layer": 1, "context_length": 2048, "keys": keys}
    path = Path(_directory.name) / f"{case}-{tensor_type}-{window}.gguf"
    if not path.exists():
        write_architecture_model(path, **model)
    return _core.Model.load(str(path), table, 1)


def alone(model: _core.Model, prompt: list[int], **options: Any) -> Floats:
    (logits,) = model.logits([prompt], **{"prefill_chunk": 10_000, **options})
    return logits


@functools.cache
def scalar_logits(case: str, tensor_type: str, *lengths: int) -> list[Floats]:
    """Each prompt's, computed alone by the scalar table."""
    return [alone(model_of(case, tensor_type, REFERENCE), tiny_prompt(length, seed=length)) for length in lengths]


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("case", "tensor_type"), COMBINATIONS)
def test_threads_chunks_and_company_change_nothing(case: str, tensor_type: str, table: str) -> None:
    model = model_of(case, tensor_type, table)
    prompts = [tiny_prompt(length, seed=length) for length in (70, 1, 33)]
    expected = scalar_logits(case, tensor_type, 70, 1, 33)
    assert np.isfinite(expected[0]).all()
    for threads in ways_of(table, THREADS):
        for logits, same in zip(model.logits(prompts, threads=threads), expected, strict=True):
            assert_same_bits(logits, same)
    for chunk in ways_of(table, CHUNKS):
        assert_same_bits(alone(model, prompts[0], prefill_chunk=chunk, threads=2), expected[0])


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("case", [case for case in CASES if case not in DEEP_CASES])
def test_every_architecture_has_the_bits_of_the_scalar_table(case: str, table: str) -> None:
    assert_bits_of_the_scalar_table(case, table)


@pytest.mark.parametrize("table", ALL_TABLES[-1:])
@pytest.mark.parametrize("case", DEEP_CASES)
def test_models_of_many_layers_have_them_too(case: str, table: str) -> None:
    assert_bits_of_the_scalar_table(case, table)


def assert_bits_of_the_scalar_table(case: str, table: str) -> None:
    prompts = [tiny_prompt(length, seed=length) for length in (70, 3)]
    expected = scalar_logits(case, EVERY_TYPE, 70, 3)
    model = model_of(case, EVERY_TYPE, table)
    for threads, chunk in ways_of(table, ((2, 512), (3, 1), (1, 7))):
        for logits, same in zip(model.logits(prompts, threads=threads, prefill_chunk=chunk), expected, strict=True):
            assert_same_bits(logits, same)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("case", KINDS)
@pytest.mark.parametrize("size", BATCHES)
def test_batches_of_any_size(case: str, size: int, table: str) -> None:
    """One token a step each, as sequences decode: between four and five rows the way changes in which a step is
    computed, and experts get rows of several sequences.
    """
    prompts = [tiny_prompt(6, seed=seed) for seed in range(size)]
    expected = [alone(model_of(case, "Q4_K", REFERENCE), prompt) for prompt in prompts]
    for threads in ways_of(table, THREADS):
        together = model_of(case, "Q4_K", table).logits(prompts, threads=threads, prefill_chunk=1)
        for logits, same in zip(together, expected, strict=True):
            assert_same_bits(logits, same)


@pytest.mark.parametrize("kv_cache", ["f16", "q8_0"])
@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("window", [1, 63, 65, 130, 520])
def test_windows_around_the_edges_of_key_blocks(window: int, table: str, kv_cache: str) -> None:
    """Windows that begin anywhere in a block and a split of keys, over a context of several splits, shared among
    threads or not.
    """
    prompt = tiny_prompt(600, seed=2)
    expected = alone(model_of("gemma3", "Q8_0", REFERENCE, window), prompt, kv_cache=kv_cache)
    model = model_of("gemma3", "Q8_0", table, window)
    for chunk, threads in ((600, 1), (1, 2), (13, 4)):
        assert_same_bits(alone(model, prompt, prefill_chunk=chunk, threads=threads, kv_cache=kv_cache), expected)


def test_what_has_left_the_window_leaves_no_trace() -> None:
    """One layer sees its window alone, whose keys and values are those of single tokens and their positions."""
    window = 50
    model = model_of("gemma3", "F32", REFERENCE, window)
    prompt, other = tiny_prompt(600, seed=1), tiny_prompt(600, seed=2)
    for common in (window, window - 1):
        ends = [alone(model, [*start[: 600 - common], *prompt[600 - common :]])[-1] for start in (prompt, other)]
        assert (ends[0].tobytes() == ends[1].tobytes()) == (common == window)
