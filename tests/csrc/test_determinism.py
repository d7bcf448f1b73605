"""The promise: the same logits, bit for bit, whatever shares the batch, however a prompt is cut into chunks, on any
number of threads, from every kernel table.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.csrc.loop_bench import FOREVER, LoopBench
from tests.golden.exact.model import ExactModel
from tests.support.blocks import Floats
from tests.support.held_bits import PLAIN, PLAIN_BATCHES, PLAIN_TYPES
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, assert_same_bits, ways_of
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

CHUNKS = (1, 7, 64, 512, 10_000)
THREADS = (1, 2, 3)
EDGES = (63, 64, 65, 511, 512, 513)
"""Around the blocks and splits that keys are attended in."""
KV_CACHES = [("f16", {}), ("q8_0", {"n_head": 2, "n_head_kv": 1})]
"""Types of the KV cache, with options of a model whose heads fit."""


def alone(
    model: _core.Model,
    prompt: Sequence[int],
    *,
    threads: int = 1,
    prefill_chunk: int = 10_000,
    kv_cache: str = "f16",
) -> Floats:
    (logits,) = model.logits([prompt], threads=threads, prefill_chunk=prefill_chunk, kv_cache=kv_cache)
    return logits


@pytest.fixture(scope="module")
def smollm2(smollm2_path: Path) -> _core.Model:
    if reason := _core.kernel_tables()["cpu_avx2"]:
        pytest.skip(f"too slow without cpu_avx2: {reason}")
    return _core.Model.load(str(smollm2_path), "cpu_avx2", 2)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("tensor_type", PLAIN_TYPES)
@pytest.mark.parametrize("architecture", PLAIN)
def test_tiny_models(architecture: str, tensor_type: str, table: str) -> None:
    model = tiny_model(architecture, tensor_type, table)
    prompts = [tiny_prompt(length, seed=length) for length in (70, 1, 9, 33, 64)]
    expected = [alone(tiny_model(architecture, tensor_type, REFERENCE), prompt) for prompt in prompts]
    for threads in ways_of(table, THREADS):
        for logits, same in zip(model.logits(prompts, threads=threads), expected, strict=True):
            assert_same_bits(logits, same)
    for chunk in ways_of(table, CHUNKS):
        assert_same_bits(alone(model, prompts[0], prefill_chunk=chunk), expected[0])
        (last,) = model.logits([prompts[0]], prefill_chunk=chunk, last_only=True)
        assert_same_bits(last, expected[0][-1:])


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("architecture", PLAIN)
def test_batches_of_any_size(architecture: str, table: str) -> None:
    """One token a step each, as sequences decode: between four and five rows, and seven and eight, the way changes in
    which a step is computed.
    """
    model = tiny_model(architecture, "Q4_K", table)
    prompts = [tiny_prompt(6, seed=seed) for seed in range(max(PLAIN_BATCHES))]
    expected = [alone(tiny_model(architecture, "Q4_K", REFERENCE), prompt) for prompt in prompts]
    for size, threads in itertools.product(PLAIN_BATCHES, ways_of(table, THREADS)):
        together = model.logits(prompts[:size], threads=threads, prefill_chunk=1)
        for logits, same in zip(together, expected[:size], strict=True):
            assert_same_bits(logits, same)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(
    "options",
    [
        {"n_head": 2, "n_head_kv": 1, "n_embd": 160, "n_ff": 96},  # heads of 80: no multiple of 64
        {"n_head": 3, "n_head_kv": 3, "n_embd": 96, "n_ff": 224},  # as many KV heads as heads
        {"n_head": 8, "n_head_kv": 1, "tied": False, "rope_freqs": True},
        {"n_layer": 1, "tensor_type": "Q4_K", "n_embd": 256, "n_ff": 256, "embedding_type": "Q6_K"},
        {"tensor_type": "Q8_0", "tied": False, "head_type": "F16", "embedding_type": "BF16"},
    ],
    ids=str,
)
def test_other_shapes(options: dict[str, object], table: str) -> None:
    prompt = tiny_prompt(70, seed=1)
    expected = alone(tiny_model(**{"table": REFERENCE, **options}), prompt)
    model = tiny_model(**{"table": table, **options})
    assert np.isfinite(expected).all()
    assert_same_bits(alone(model, prompt, threads=2), expected)
    assert_same_bits(alone(model, prompt, prefill_chunk=7, threads=3), expected)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
def test_lengths_around_the_edges_of_key_blocks(kv_cache: str, heads: dict[str, object], table: str) -> None:
    """Also: what comes later in a prompt changes nothing before it."""
    options = {"n_layer": 1, "context_length": 1024, **heads}
    model = tiny_model("llama", "Q8_0", table, **options)
    prompt = tiny_prompt(max(EDGES) + 1, seed=2)
    compute = partial(alone, kv_cache=kv_cache)
    expected = compute(tiny_model("llama", "Q8_0", REFERENCE, **options), prompt)
    for length in ways_of(table, EDGES):
        assert_same_bits(compute(model, prompt[:length]), expected[:length])
        for chunk, threads in ((64, 2), (length - 1, 1), (61, 3)):
            assert_same_bits(compute(model, prompt[:length], prefill_chunk=chunk, threads=threads), expected[:length])
    assert_same_bits(compute(model, prompt, prefill_chunk=1, threads=2), expected)
    prompts = [prompt[:length] for length in EDGES]
    batch = model.logits(prompts, threads=2, prefill_chunk=100, kv_cache=kv_cache)
    for length, logits in zip(EDGES, batch, strict=True):
        assert_same_bits(logits, expected[:length])


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
def test_splits_of_keys_shared_among_threads(kv_cache: str, heads: dict[str, object], table: str) -> None:
    """A few rows over a long context: there each split of the keys is a unit of its own."""
    model = tiny_model("llama", "Q8_0", table, n_layer=2, context_length=2048, **heads)
    prompt = tiny_prompt(1100, seed=4)
    expected = alone(model, prompt, kv_cache=kv_cache)
    for chunk, threads in ((1, 2), (5, 3), (13, 4), (100, 8)):
        logits = alone(model, prompt, prefill_chunk=chunk, threads=threads, kv_cache=kv_cache)
        assert_same_bits(logits, expected)


@pytest.mark.parametrize("architecture", PLAIN)
@pytest.mark.parametrize(("kv_cache", "bound"), [("f16", 2e-3), ("q8_0", 1e-1)])
def test_long_contexts_are_right(architecture: str, kv_cache: str, bound: float) -> None:
    """All of the above would hold if every way of computing skipped the same key, or counted one twice."""
    options = {"n_layer": 1, "context_length": 2048, "n_head": 2, "n_head_kv": 1}
    prompt = tiny_prompt(1100, seed=3)
    positions = [0, 63, 64, 511, 512, 513, 575, 576, 1023, 1024, 1025, 1099]
    (exact,) = ExactModel(tiny_path(architecture, "F32", **options)).logits([prompt], [positions])
    model = tiny_model(architecture, "F32", REFERENCE, **options)
    logits = alone(model, prompt, prefill_chunk=300, threads=2, kv_cache=kv_cache)
    # Floats against float64, and keys and values in f16 or, with the queries, in 8 bits.
    assert np.abs(logits[positions] - exact).max() <= bound * exact.std()


def test_the_real_model(smollm2: _core.Model) -> None:
    random = np.random.default_rng(3)
    prompts = [random.integers(0, smollm2.vocab_size, length).tolist() for length in (65, 5, 12, 1, 20)]
    expected = alone(smollm2, prompts[0], threads=2)
    assert_same_bits(alone(smollm2, prompts[0], threads=1), expected)
    assert_same_bits(smollm2.logits(prompts, threads=2)[0], expected)
    for chunk in (1, 7, 64):
        assert_same_bits(alone(smollm2, prompts[0], prefill_chunk=chunk, threads=2), expected)
    for prompt, logits in zip(prompts[1:], smollm2.logits(prompts, threads=2)[1:], strict=True):
        assert_same_bits(logits, alone(smollm2, prompt, threads=2))


def test_the_real_model_from_the_scalar_kernels(smollm2: _core.Model, smollm2_path: Path) -> None:
    scalar = _core.Model.load(str(smollm2_path), REFERENCE, 2)
    prompt = [1, 4093, 198, 19556, 28]
    assert_same_bits(alone(scalar, prompt, threads=2), alone(smollm2, prompt, threads=2))


# --- through the run loop --------------------------------------------------------------------------------------------


Result = tuple[tuple[int, ...], str, list[str], str]


def in_company(model: _core.Model, prompt: Sequence[int], threads: int, prefill_chunk: int) -> Result:
    """The prompt's sequence among neighbours that come, end and are cancelled while it is prefilled and decodes."""
    with LoopBench(tiny_vocabulary()) as bench:

        def submit(sequence_id: int, tokens: Sequence[int], max_tokens: int, seed: int = 0) -> None:
            bench.submit(
                sequence_id, model, tokens, max_tokens=max_tokens, seed=seed, temperature=1.0,
                threads=threads, prefill_chunk=prefill_chunk,
            )  # fmt: skip

        submit(100, tiny_prompt(40, seed=100), 500)
        submit(1, prompt, 80, seed=7)
        submit(101, tiny_prompt(300, seed=101), 500)
        bench.wait_for_start(1)
        bench.loop.cancel(100)
        for count in (1, 10, 20, 40):
            bench.wait_for_token(1, count)
            submit(200 + count, tiny_prompt(count, seed=count), 9)
            submit(300 + count, tiny_prompt(150, seed=count), 500)
        bench.loop.cancel(301)
        bench.loop.cancel(101)
        return bench.finish(1).result


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("architecture", PLAIN)
def test_company_changes_nothing(architecture: str, table: str) -> None:
    model = tiny_model(architecture, "Q4_1", table)
    prompt = tiny_prompt(90, seed=5)
    results: list[Result] = []
    with LoopBench(tiny_vocabulary()) as bench:
        for threads, chunk in ((1, 256), (2, 256), (2, 16), (3, 1)):
            bench.submit(
                threads * chunk, model, prompt, max_tokens=80, temperature=1.0, seed=7,
                threads=threads, prefill_chunk=chunk,
            )  # fmt: skip
            results.append(bench.finish(threads * chunk).result)
    results += [in_company(model, prompt, threads, chunk) for threads, chunk in ((1, 256), (2, 32))]
    assert len(results[0][0]) == 80
    assert all(result == results[0] for result in results)


def with_pauses(model: _core.Model, prompt: Sequence[int], threads: int, prefill_chunk: int) -> tuple[Result, int]:
    """The prompt's sequence, paused in its prompt and between its tokens while a neighbour runs on; and how often."""
    pauses = 0
    options = {"temperature": 1.0, "threads": threads, "prefill_chunk": prefill_chunk}
    with LoopBench(tiny_vocabulary()) as bench:
        bench.submit(100, model, tiny_prompt(40, seed=100), max_tokens=FOREVER, **options)  # type: ignore[arg-type]
        bench.submit(1, model, prompt, max_tokens=200, seed=7, **options)  # type: ignore[arg-type]
        while bench.pause(1):
            pauses += 1
            bench.wait_for_token(100, len(bench.stories[100].token_ids) + 3)
            bench.resume(1)
        return bench.finish(1).result, pauses


@pytest.mark.parametrize("table", ALL_TABLES)
def test_pauses_change_nothing(table: str) -> None:
    model = tiny_model("llama", "Q4_1", table, n_layer=6)
    prompt = tiny_prompt(90, seed=5)
    with LoopBench(tiny_vocabulary()) as bench:
        undisturbed = bench.run(model, prompt, max_tokens=200, temperature=1.0, seed=7).result
    assert len(undisturbed[0]) == 200
    for threads, chunk in ((1, 4), (2, 32)):
        result, pauses = with_pauses(model, prompt, threads, chunk)
        assert result == undisturbed
        assert pauses > 0


@pytest.mark.parametrize("table", FAST_TABLES)
def test_every_table_gives_the_same_digest(table: str) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        results = [
            bench.run(tiny_model("qwen2", "Q6_K", name), tiny_prompt(20), max_tokens=30, temperature=0.8).result
            for name in (REFERENCE, table)
        ]
    assert results[0] == results[1]


def test_threads_that_share_a_part_of_the_vocabulary_give_the_same_digest(smollm2: _core.Model) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        results = [bench.run(smollm2, [5, 6, 7], max_tokens=3, threads=count).result for count in (1, 2, 5, 13)]
    assert all(result == results[0] for result in results)


def test_another_prompt_or_one_token_more_gives_another_digest(smollm2: _core.Model) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        runs = [([5, 6, 7], 4), ([5, 6, 8], 4), ([5, 6, 7], 5), ([5, 6, 7], 4)]
        digests = [bench.run(smollm2, prompt, max_tokens=count, threads=2).logits_digest for prompt, count in runs]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3
    assert all(len(digest) == 32 for digest in digests)
