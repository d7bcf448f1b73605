"""Layers whose state is not keys and values: what a sequence computes does not depend on its company, and nothing goes
back to where the state no longer is.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import _core
from protocol.sampling import SAMPLERS
from tests.csrc.loop_bench import EMPTY, LoopBench
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.kernel_tables import FAST_TABLES
from tests.support.tiny_models import tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

RECURRENT = ("lfm2",)
BLOCK = 64

_directory = tempfile.TemporaryDirectory(prefix="recurrent-")


@functools.cache
def path_of(case: str) -> Path:
    return write_architecture_model(Path(_directory.name) / f"{case}.gguf", **CASES[case], context_length=4096)


@functools.cache
def model_of(case: str, table: str) -> _core.Model:
    return _core.Model.load(str(path_of(case)), table, 1)


def state_bytes(case: str) -> int:
    return _core.recurrent_bytes(_core.GgufFile(str(path_of(case))))


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        yield bench


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("case", RECURRENT)
def test_company_changes_nothing(bench: LoopBench, case: str, table: str) -> None:
    """Side by side, in chunks that prompts end anywhere in, on one thread or two."""
    model, prompts = model_of(case, table), [tiny_prompt(length, seed=length) for length in (1, 2, 65, 130)]
    alone = [bench.run(model, prompt, max_tokens=40).result for prompt in prompts]
    for chunk, threads in ((7, 1), (64, 2), (1000, 2)):
        for number, prompt in enumerate(prompts):
            bench.submit(10 + number, model, prompt, max_tokens=40, prefill_chunk=chunk, threads=threads)
        bench.finish(*range(10, 10 + len(prompts)))
        assert [bench.stories[10 + number].result for number in range(len(prompts))] == alone


@pytest.mark.parametrize("case", RECURRENT)
def test_choices_go_on_from_the_state_behind_the_prompt(bench: LoopBench, case: str) -> None:
    """Each with a copy of its own, as if it had read the prompt itself."""
    model, prompt = model_of(case, "reference"), tiny_prompt(70)
    alone = bench.run(model, prompt, max_tokens=12, temperature=1.0, seed=7).result
    bench.submit(2, model, prompt, choices=3, max_tokens=12, temperature=1.0, seed=7)
    choices = bench.finish_choices(2)
    assert choices[0].result == alone
    assert len({tuple(story.token_ids) for story in choices}) == 3
    options = _core.SamplingOptions(order=SAMPLERS, temperature=1.0, seed=7)
    for choice, story in enumerate(choices):
        tokens, run = prompt + story.token_ids, _core.SamplingRun(options, choice)
        (logits,) = model.logits([tokens])
        drawn = [run.sample(logits[i - 1].tolist(), tokens[:i], i) for i in range(len(prompt), len(tokens))]
        assert drawn == story.token_ids
    per_block = BLOCK * model.kv_bytes_per_token()
    assert choices[0].kv_cache_bytes == (1 + 3) * per_block + 3 * state_bytes(case)


@pytest.mark.parametrize("case", RECURRENT)
def test_a_step_that_was_broken_off_is_run_again_from_the_same_state(bench: LoopBench, case: str) -> None:
    model, prompt = model_of(case, "reference"), tiny_prompt(900, seed=3)
    alone = bench.run(model, prompt, max_tokens=5).result
    for number in range(3):
        bench.submit(10 + number, model, prompt, max_tokens=5, prefill_chunk=4000)
        bench.submit(20 + number, model, tiny_prompt(1500, seed=number), max_tokens=5, prefill_chunk=4000)
        bench.wait_for_start(20 + number)
        bench.loop.cancel(20 + number)
        bench.finish(10 + number, 20 + number)
        assert bench.stories[10 + number].result == alone


@pytest.mark.parametrize("case", RECURRENT)
def test_the_state_is_counted_with_keys_and_values(bench: LoopBench, case: str) -> None:
    model = model_of(case, "reference")
    story = bench.run(model, tiny_prompt(100), max_tokens=2)
    assert story.kv_cache_bytes == 2 * BLOCK * model.kv_bytes_per_token() + state_bytes(case)
    assert bench.occupancy() == EMPTY


@pytest.mark.parametrize("case", RECURRENT)
def test_nothing_goes_back(bench: LoopBench, case: str) -> None:
    model = model_of(case, "reference")
    with pytest.raises(ValueError, match="end of a prefix"):
        bench.submit(1, model, tiny_prompt(5), prefix_cache=True)
    with pytest.raises(ValueError, match="guessed wrongly"):
        bench.submit(1, model, tiny_prompt(5), speculation=_core.SpeculationOptions(max_rows=4, row_cost=0.1))
