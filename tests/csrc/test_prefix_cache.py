"""The prefix cache: a hit changes no bit, what is kept is bounded, and nothing of it leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench, Story
from tests.support.damaged_models import ModelFile
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, ways_of
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

BLOCK = 64
FOREVER = 1_000_000
KV_CACHES = [("f16", {}), ("q8_0", {"n_head": 2, "n_head_kv": 1})]
"""Types of the KV cache, with options of a model whose heads fit."""


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 30) as bench:
        yield bench


@pytest.fixture
def model() -> _core.Model:
    return tiny_model(context_length=4096)


def run(bench: LoopBench, model: _core.Model, prompt: Sequence[int], **options: object) -> Story:
    return bench.run(model, prompt, **{"prefix_cache": True, "max_tokens": 3, **options})


def hit(bench: LoopBench, model: _core.Model, prompt: Sequence[int], **options: object) -> int | None:
    """How many tokens of the prompt were found."""
    return run(bench, model, prompt, **options).cached_prompt_tokens


def blocks(bench: LoopBench) -> int:
    return bench.loop.statistics()["prefix_cache_blocks"]


def block_bytes(model: _core.Model, kv_cache: str = "f16") -> int:
    return BLOCK * model.kv_bytes_per_token(kv_cache)


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
def test_a_hit_of_any_length_gives_the_bits_of_a_cold_run(
    bench: LoopBench, kv_cache: str, heads: dict[str, object], table: str
) -> None:
    """Within one split of keys, at its edge, and over several; on other threads and in other chunks than before."""
    shape = {"n_layer": 2, "context_length": 2048, **heads}
    model, reference = (tiny_model("llama", "Q8_0", name, **shape) for name in (table, REFERENCE))
    prompt = tiny_prompt(1200, seed=1)
    options = {"kv_cache": kv_cache, "temperature": 1.0, "seed": 5, "max_tokens": 12}
    cold = bench.run(reference, prompt, **options)
    assert cold.cached_prompt_tokens == 0
    ways = [(1, 256), (2, 64), (3, 100), (2, 13), (1, 2048)]
    for i, shared in enumerate(ways_of(table, (63, 64, 100, 512, 513, 1088, 1199))):
        bench.loop.clear_prefixes()
        earlier, way = ways[i % len(ways)], ways[(i + 1) % len(ways)]
        run(bench, model, [*prompt[:shared], 3, 4], kv_cache=kv_cache, threads=earlier[0], prefill_chunk=earlier[1])
        story = run(bench, model, prompt, **options, threads=way[0], prefill_chunk=way[1])
        assert story.cached_prompt_tokens == shared // BLOCK * BLOCK
        assert story.result == cold.result


@pytest.mark.parametrize("table", FAST_TABLES)
def test_an_answer_is_found_by_the_prompt_that_goes_on_from_it(bench: LoopBench, table: str) -> None:
    """Keys and values of decoded tokens are those of prefilled ones."""
    model = tiny_model("qwen2", "Q4_1", table, context_length=4096)
    prompt = tiny_prompt(40)
    first = run(bench, model, prompt, max_tokens=100, temperature=1.0)
    conversation = [*prompt, *first.token_ids, *tiny_prompt(30, seed=2)]
    second = run(bench, model, conversation, max_tokens=20)
    assert second.cached_prompt_tokens == 128
    assert second.result == bench.run(model, conversation, max_tokens=20).result


@pytest.mark.parametrize("table", FAST_TABLES)
def test_many_read_one_prefix_side_by_side(bench: LoopBench, table: str) -> None:
    model = tiny_model("llama", "Q4_1", table, context_length=4096)
    prefix = tiny_prompt(700, seed=3)
    prompts = [[*prefix, *tiny_prompt(10 + 30 * i, seed=i)] for i in range(6)]
    cold = [bench.run(model, prompt, max_tokens=30).result for prompt in prompts]
    run(bench, model, prefix)
    for i, prompt in enumerate(prompts):
        bench.submit(100 + i, model, prompt, max_tokens=30, threads=2, prefill_chunk=50, prefix_cache=True)
    bench.finish(*range(100, 106))
    stories = [bench.stories[100 + i] for i in range(6)]
    assert [story.cached_prompt_tokens for story in stories] == [640] * 6
    assert [story.result for story in stories] == cold


# --- what is found ---------------------------------------------------------------------------------------------------


def test_the_last_token_of_a_prompt_is_always_computed(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(2 * BLOCK)
    run(bench, model, prompt)
    assert hit(bench, model, prompt) == BLOCK
    assert hit(bench, model, [*prompt, 1]) == 2 * BLOCK


def test_an_execution_with_the_cache_off_neither_reads_nor_leaves_anything(
    bench: LoopBench, model: _core.Model
) -> None:
    prompt = tiny_prompt(200)
    assert hit(bench, model, prompt, prefix_cache=False) == 0
    assert blocks(bench) == 0
    assert hit(bench, model, prompt) == 0
    assert hit(bench, model, prompt, prefix_cache=False) == 0
    assert hit(bench, model, prompt) == 192


def test_one_token_that_differs_ends_what_is_found(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(300)
    run(bench, model, prompt)
    for place, found in ((0, 0), (63, 0), (64, 64), (150, 128), (299, 256)):
        other = prompt.copy()
        other[place] = (other[place] + 1) % len(tiny_vocabulary())
        assert hit(bench, model, other) == found
    # Blocks with the same tokens behind others are others.
    assert hit(bench, model, prompt[BLOCK:]) == 0


def test_other_weights_and_other_types_of_cache_share_nothing(bench: LoopBench) -> None:
    heads = {"n_head": 2, "n_head_kv": 1}
    model, other = tiny_model(**heads), tiny_model("llama", "Q8_0", **heads)
    prompt = tiny_prompt(100)
    assert hit(bench, model, prompt) == 0
    assert hit(bench, other, prompt) == 0
    assert hit(bench, model, prompt, kv_cache="q8_0") == 0
    assert [hit(bench, each, prompt) for each in (model, other)] == [64, 64]


def test_other_settings_share(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(100)
    run(bench, model, prompt, threads=1, prefill_chunk=10)
    assert hit(bench, model, prompt, threads=2, prefill_chunk=64, temperature=1.0, context_length=128) == 64


def test_executions_side_by_side_leave_one_copy(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(200)
    for sequence_id in (1, 2, 3):
        bench.submit(sequence_id, model, prompt, prefix_cache=True)
    bench.finish(1, 2, 3)
    assert blocks(bench) == 3
    assert bench.loop.statistics()["prefix_cache_bytes"] == 3 * block_bytes(model)


def test_what_was_computed_of_a_cancelled_execution_is_kept(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(200)
    bench.submit(1, model, prompt, max_tokens=FOREVER, prefix_cache=True)
    bench.wait_for_token(1)
    bench.loop.cancel(1)
    bench.finish(1)
    assert hit(bench, model, prompt) == 192


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
def test_no_more_is_kept_than_there_is_room_for(kv_cache: str, heads: dict[str, object]) -> None:
    model = tiny_model(context_length=4096, **heads)
    room = 4 * block_bytes(model, kv_cache) + 1
    with LoopBench(tiny_vocabulary(), room) as bench:
        prompt = tiny_prompt(10 * BLOCK)
        run(bench, model, prompt, kv_cache=kv_cache)
        assert blocks(bench) == 4
        assert hit(bench, model, prompt, kv_cache=kv_cache) == 4 * BLOCK
        for seed in range(1, 5):
            run(bench, model, tiny_prompt(3 * BLOCK, seed=seed), kv_cache=kv_cache)
            assert bench.loop.statistics()["prefix_cache_bytes"] <= room


def test_without_room_nothing_is_kept(model: _core.Model) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        run(bench, model, tiny_prompt(200))
        assert blocks(bench) == 0


def test_what_was_used_longest_ago_goes_first_and_an_end_before_its_beginning(model: _core.Model) -> None:
    a, b, c = (tiny_prompt(2 * BLOCK + 1, seed=seed) for seed in (1, 2, 3))
    with LoopBench(tiny_vocabulary(), 4 * block_bytes(model)) as bench:
        for prompt in (a, b, a, c[: BLOCK + 1]):
            run(bench, model, prompt)
        # One block of room was made for c, with the end of b.
        found = {name: hit(bench, model, prompt, max_tokens=1) for name, prompt in (("a", a), ("c", c[: BLOCK + 1]))}
        assert found == {"a": 2 * BLOCK, "c": BLOCK}
        assert hit(bench, model, b, max_tokens=1) == BLOCK


def test_blocks_that_an_execution_reads_make_no_room(model: _core.Model) -> None:
    prompt = tiny_prompt(3 * BLOCK + 1)
    with LoopBench(tiny_vocabulary(), 3 * block_bytes(model)) as bench:
        cold = bench.run(model, prompt, max_tokens=400).result
        run(bench, model, prompt)
        bench.submit(50, model, prompt, max_tokens=400, prefix_cache=True)
        bench.wait_for_start(50)
        run(bench, model, tiny_prompt(300, seed=9))
        assert blocks(bench) == 3
        assert bench.finish(50).result == cold
        assert hit(bench, model, prompt) == 3 * BLOCK


def test_room_is_given_back_where_it_is_asked_for(bench: LoopBench, model: _core.Model) -> None:
    size = block_bytes(model)
    old, new = tiny_prompt(4 * BLOCK + 1, seed=1), tiny_prompt(4 * BLOCK + 1, seed=2)
    for prompt in (old, new):
        run(bench, model, prompt)
    bench.loop.drop_prefixes(2 * size + 1)
    assert bench.loop.statistics()["prefix_cache_idle_bytes"] <= 6 * size - 1, "it is not counted from now on"
    bench.loop.trim()
    statistics = bench.loop.statistics()
    assert (statistics["prefix_cache_blocks"], statistics["prefix_cache_idle_bytes"]) == (5, 5 * size)
    assert hit(bench, model, new, max_tokens=1) == 4 * BLOCK
    assert hit(bench, model, old, max_tokens=1) == BLOCK
    bench.loop.drop_prefixes(1 << 40)
    bench.loop.trim()
    assert blocks(bench) == 0


# --- ends ------------------------------------------------------------------------------------------------------------


def test_after_it_was_cleared_nothing_is_found(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(200)
    run(bench, model, prompt)
    bench.loop.clear_prefixes()
    assert blocks(bench) == 0
    assert hit(bench, model, prompt) == 0


def test_clearing_disturbs_no_execution_and_what_began_before_leaves_nothing(
    bench: LoopBench, model: _core.Model
) -> None:
    prompt = tiny_prompt(200)
    cold = bench.run(model, prompt, max_tokens=300).result
    run(bench, model, prompt)
    bench.submit(50, model, prompt, max_tokens=300, prefix_cache=True)
    bench.wait_for_token(50)
    bench.loop.clear_prefixes()
    statistics = bench.loop.statistics()
    assert (statistics["prefix_cache_blocks"], statistics["prefix_cache_idle_bytes"]) == (3, 0), "they are still read"
    assert hit(bench, model, prompt, max_tokens=1) == 0
    bench.loop.clear_prefixes()
    assert bench.finish(50).result == cold
    statistics = bench.loop.statistics()
    assert {name: size for name, size in statistics.items() if name.endswith(("blocks", "bytes"))} == {
        "kv_cache_bytes": 0,
        "kv_shared_bytes": 0,
        "prefix_cache_blocks": 0,
        "prefix_cache_bytes": 0,
        "prefix_cache_idle_bytes": 0,
    }


def test_every_byte_has_one_owner(bench: LoopBench, model: _core.Model) -> None:
    size = block_bytes(model)
    prompt = tiny_prompt(200)
    run(bench, model, prompt)
    for sequence_id in (50, 51):
        bench.submit(sequence_id, model, prompt, max_tokens=FOREVER, prefix_cache=True)
        bench.wait_for_token(sequence_id)
    bench.loop.trim()
    statistics = bench.loop.statistics()
    assert (statistics["prefix_cache_bytes"], statistics["prefix_cache_idle_bytes"]) == (3 * size, 0)
    assert statistics["kv_shared_bytes"] == 6 * size
    assert statistics["kv_cache_bytes"] >= 2 * size
    for sequence_id in (50, 51):
        bench.loop.cancel(sequence_id)
    bench.finish(50, 51)
    statistics = bench.loop.statistics()
    assert (statistics["kv_cache_bytes"], statistics["kv_shared_bytes"]) == (0, 0)
    assert statistics["prefix_cache_idle_bytes"] == statistics["prefix_cache_bytes"] == blocks(bench) * size


def test_a_failed_execution_leaves_nothing(bench: LoopBench, tmp_path: Path) -> None:
    whole = ModelFile(tiny_path(tensor_type="F32", tied=False))
    overflowing = whole.scaled(tmp_path / "overflowing.gguf", "output.weight", 1e39)
    story = run(bench, _core.Model.load(str(overflowing), REFERENCE, 1), tiny_prompt(200))
    assert story.stop_reasons == ["error"]
    assert blocks(bench) == 0


def test_blocks_go_with_their_model(bench: LoopBench, model: _core.Model) -> None:
    passing = _core.Model.load(str(tiny_path(seed=8)), REFERENCE, 1)
    prompt = tiny_prompt(100)
    for each in (model, passing):
        run(bench, each, prompt)
    assert blocks(bench) == 2
    del passing, each
    bench.loop.trim()
    assert blocks(bench) == 1
    assert hit(bench, model, prompt) == 64


def test_a_loop_is_closed_over_what_is_read(model: _core.Model) -> None:
    with LoopBench(tiny_vocabulary(), 1 << 30) as bench:
        run(bench, model, tiny_prompt(200))
        bench.submit(50, model, tiny_prompt(200), max_tokens=FOREVER, prefix_cache=True)
        bench.wait_for_token(50)
        bench.loop.close()
        assert bench.finish(50).stop_reasons == ["cancelled"]
        bench.loop.clear_prefixes()
