"""Layers with a window keep the keys and values of their window alone, and no bit of an answer changes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest

from engine import _core
from tests.csrc.loop_bench import EMPTY, LoopBench
from tests.csrc.test_choices import rest
from tests.csrc.test_draft_models import drafted_by
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.kernel_tables import FAST_TABLES, REFERENCE
from tests.support.tiny_models import tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

BLOCK = 64
WINDOW = 70
FAST = next((table for table, reason in _core.kernel_tables().items() if not reason and table != REFERENCE), REFERENCE)
_directory = tempfile.TemporaryDirectory(prefix="windowed-models-")


@functools.cache
def windowed_model(table: str = REFERENCE, pattern: int = 2, tensor_type: str = "Q8_0") -> _core.Model:
    """Four layers, of every ``pattern`` all but the last with a window; 0: all."""
    path = Path(_directory.name) / f"{pattern}-{tensor_type}.gguf"
    if not path.exists():
        keys = {"attention.sliding_window": WINDOW, "attention.sliding_window_pattern": pattern}
        case = {**ALL_CASES["gemma3"], "n_layer": 4, "context_length": 4096, "keys": keys, "tensor_type": tensor_type}
        write_architecture_model(path, **case)
    return _core.Model.load(str(path), table, 1)


def bytes_of(model: _core.Model, positions: int, windowed_share: float, rows: int, kv_cache: str = "f16") -> int:
    """What ``positions`` take at most, where so large a part of the layers has a window."""
    everywhere = model.kv_bytes_per_token(kv_cache)
    windowed = int(everywhere * windowed_share)
    return (everywhere - windowed) * positions + windowed * _core.window_positions(WINDOW, rows)


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("kv_cache", ["f16", "q8_0"])
@pytest.mark.parametrize("pattern", [2, 0])
def test_what_is_given_back_changes_no_bit(bench: LoopBench, pattern: int, kv_cache: str, table: str) -> None:
    """A sequence that may leave a prefix keeps everything, so that it is the measure."""
    options: dict[str, Any] = {"kv_cache": kv_cache, "temperature": 1.0, "seed": 3, "max_tokens": 90}
    prompt = tiny_prompt(600)
    model = windowed_model(table, pattern)
    expected = bench.run(model, prompt, **options, prefix_cache=True)
    assert expected.kv_cache_bytes == 11 * BLOCK * model.kv_bytes_per_token(kv_cache)
    for chunk, threads in ((256, 2), (64, 1), (63, 2), (7, 1)):
        story = bench.run(model, prompt, **options, prefill_chunk=chunk, threads=threads)
        assert story.result == expected.result
        share = 1.0 if pattern == 0 else 0.5
        assert story.kv_cache_bytes <= bytes_of(model, 11 * BLOCK, share, chunk, kv_cache)
    assert bench.occupancy() == EMPTY


def test_the_scalar_kernels_see_the_same_window(bench: LoopBench) -> None:
    scalar, fast = (
        bench.run(windowed_model(name), tiny_prompt(300), max_tokens=40, prefill_chunk=50) for name in (REFERENCE, FAST)
    )
    assert scalar.result == fast.result


def test_a_long_answer_holds_no_more_than_a_short_one(bench: LoopBench) -> None:
    model = windowed_model(FAST, pattern=0)
    short, long = (bench.run(model, tiny_prompt(20), max_tokens=tokens, prefill_chunk=32) for tokens in (300, 1200))
    assert short.kv_cache_bytes == long.kv_cache_bytes <= bytes_of(model, 0, 1.0, 32)


def test_guesses_that_are_dropped_leave_the_window_whole(bench: LoopBench) -> None:
    """The model's window and the draft model's, whose guesses reach ahead of the text."""
    name = FAST
    model, prompt = windowed_model(name), tiny_prompt(150)
    options: dict[str, Any] = {"max_tokens": 200, "temperature": 1.0, "seed": 5, "prefill_chunk": 64}
    expected = bench.run(model, prompt, **options, prefix_cache=True)
    for draft in (model, windowed_model(name, tensor_type="Q4_1"), windowed_model(name, pattern=0)):
        story = bench.run(model, prompt, **options, speculation=drafted_by(draft, 16))
        assert story.drafted_tokens > 0
        assert story.result == expected.result
        kept = bytes_of(model, 6 * BLOCK, 0.5, 80) + draft.kv_bytes_per_token() * 6 * BLOCK
        assert story.kv_cache_bytes < kept


def test_choices_and_pauses_share_what_is_left_of_the_prompt(bench: LoopBench) -> None:
    model = windowed_model(FAST)
    options: dict[str, Any] = {"choices": 3, "max_tokens": 150, "temperature": 1.0, "seed": 7}
    prompt = tiny_prompt(333)
    bench.submit(1, model, prompt, **options, prefix_cache=True)
    expected = [story.result for story in bench.finish_choices(1)]
    bench.submit(2, model, prompt, **options)
    bench.wait_for_token(2, 40)
    rest(bench, 2)
    bench.loop.resume(2)
    assert [story.result for story in bench.finish_choices(2)] == expected
    assert bench.occupancy() == EMPTY


def test_a_prefix_is_found_at_any_length_though_layers_have_windows() -> None:
    model, prompt = windowed_model(FAST), tiny_prompt(700)
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 30) as bench:
        expected = bench.run(model, prompt, max_tokens=20)
        bench.run(model, [*prompt[:600], 1, 2], max_tokens=120, prefix_cache=True)
        for shared in (128, 330, 600):
            asked = [*prompt[:shared], *prompt[:50]]
            cold = bench.run(model, asked, max_tokens=20)
            story = bench.run(model, asked, max_tokens=20, prefix_cache=True)
            assert (story.cached_prompt_tokens or 0) >= shared // BLOCK * BLOCK
            assert story.result == cold.result
        assert bench.run(model, prompt, max_tokens=20, prefix_cache=True).result == expected.result
