"""Several answers to one prompt: computed once, parted behind it, each drawn as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from engine import _core
from protocol.sampling import SAMPLERS
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench, Story
from tests.support.kernel_tables import FAST_TABLES
from tests.support.tiny_models import slow_model, tiny_model, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

BLOCK = 64


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        yield bench


def choose(
    bench: LoopBench, model: _core.Model, prompt: Sequence[int], choices: int, sequence_id: int = 1, **options: Any
) -> list[Story]:
    bench.submit(sequence_id, model, prompt, choices=choices, temperature=1.0, seed=7, **options)
    return bench.finish_choices(sequence_id)


def test_four_answers_cost_one_prefill(bench: LoopBench, model: _core.Model) -> None:
    stories = choose(bench, model, tiny_prompt(150), 4, max_tokens=9)
    assert [len(story.token_ids) for story in stories] == [9] * 4
    statistics = bench.loop.statistics()
    assert statistics["prefill_rows"] == 150
    assert statistics["decode_rows"] == 4 * 8
    assert bench.occupancy() == EMPTY


def test_each_is_drawn_from_random_numbers_of_its_own(bench: LoopBench, model: _core.Model) -> None:
    """The draws are repeated by hand: same logits, same samplers, the choice's place in the counter."""
    prompt = tiny_prompt(70)
    stories = choose(bench, model, prompt, 3, max_tokens=12, top_k=40)
    assert len({tuple(story.token_ids) for story in stories}) == 3
    options = _core.SamplingOptions(order=SAMPLERS, temperature=1.0, top_k=40, seed=7)
    for choice, story in enumerate(stories):
        tokens = prompt + story.token_ids
        logits = model.logits([tokens], threads=1)[0]
        run = _core.SamplingRun(options, choice)
        for position in range(len(prompt), len(tokens)):
            assert run.sample(logits[position - 1].tolist(), tokens[:position], position) == tokens[position]


def test_the_first_is_what_a_run_of_its_own_gives(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(100)
    alone = bench.run(model, prompt, max_tokens=30, temperature=1.0, seed=7).result
    assert choose(bench, model, prompt, 5, sequence_id=9, max_tokens=30)[0].result == alone


@pytest.mark.parametrize("kv_cache", ["f16", "q8_0"])
@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("prompt_tokens", [1, BLOCK - 1, BLOCK, BLOCK + 1, 200])
def test_they_are_the_same_in_any_company(bench: LoopBench, table: str, kv_cache: str, prompt_tokens: int) -> None:
    """Neighbours, chunks, threads, kernels, pauses and the prefix cache change no bit of any of them."""
    shape = {"context_length": 2048, "n_embd": 128}
    prompt = tiny_prompt(prompt_tokens, seed=1)
    options: dict[str, Any] = {"max_tokens": 100, "kv_cache": kv_cache}
    reference = tiny_model("llama", "Q8_0", "reference", **shape)
    expected = [story.result for story in choose(bench, reference, prompt, 3, **options)]
    model = tiny_model("llama", "Q8_0", table, **shape)
    for run, (threads, chunk) in enumerate([(1, 256), (2, 7), (3, 64)], start=2):
        company: dict[str, Any] = {"threads": threads, "prefill_chunk": chunk, "prefix_cache": True}
        bench.submit(100 + run, model, tiny_prompt(90), max_tokens=FOREVER, **company)
        bench.submit(run, model, prompt, choices=3, temperature=1.0, seed=7, **options, **company)
        bench.loop.pause(run)
        bench.wait_for_token(100 + run, 3)
        bench.loop.resume(run)
        assert [story.result for story in bench.finish_choices(run)] == expected
        bench.loop.cancel(100 + run)
        bench.finish(100 + run)
    assert bench.occupancy() == EMPTY


def held_blocks(bench: LoopBench, model: _core.Model) -> int:
    statistics = bench.loop.statistics()
    return (statistics["kv_cache_bytes"] + statistics["kv_shared_bytes"]) // (BLOCK * model.kv_bytes_per_token())


def rest(bench: LoopBench, sequence_id: int) -> None:
    """Nothing is computed for its choices any more, and all they did has been heard."""
    bench.loop.pause(sequence_id)
    while bench.loop.statistics()["paused"] < len(living(bench, sequence_id)) or bench.readable():
        if bench.readable(0.001):
            bench.listen()


@pytest.mark.parametrize("prefix_cache", [False, True])
def test_they_share_the_whole_blocks_of_the_prompt(bench: LoopBench, prefix_cache: bool) -> None:
    """The block begun is each one's own; what the prefix cache held of the prompt counts once too."""
    model, prompt = tiny_model(context_length=4096), tiny_prompt(5 * BLOCK + 10)
    for sequence_id in (1, 2):
        bench.submit(
            sequence_id, model, prompt, choices=4, max_tokens=FOREVER, temperature=1.0, prefix_cache=prefix_cache
        )
        bench.wait_for_token(sequence_id, 3)
        rest(bench, sequence_id)
        positions = len(prompt) + len(bench.stories[sequence_id].token_ids) - 1
        assert held_blocks(bench, model) == 5 + 4 * (-(-positions // BLOCK) - 5)
        bench.loop.cancel(sequence_id)
        bench.finish_choices(sequence_id)
    assert bench.stories[2].cached_prompt_tokens == (5 * BLOCK if prefix_cache else 0)
    assert bench.occupancy() == EMPTY


def living(bench: LoopBench, sequence_id: int) -> list[Story]:
    return [story for (of, _), story in bench.choices.items() if of == sequence_id and not story.stop_reasons]


def test_the_prompt_stays_while_any_of_them_reads_it(bench: LoopBench) -> None:
    """The first choice ends before the others; how far these come until they rest is left to chance."""
    model, prompt = tiny_model(context_length=4096), tiny_prompt(3 * BLOCK)
    first, *others = choose(bench, model, prompt, 4, max_tokens=200)
    end = next(token for token in first.token_ids if all(token not in other.token_ids for other in others))
    for sequence_id in range(2, 30):
        bench.submit(sequence_id, model, prompt, choices=4, max_tokens=200, temperature=1.0, seed=7, eos=[end])
        bench.listen_until(lambda story=bench.stories[sequence_id]: bool(story.stop_reasons))  # type: ignore[misc]
        rest(bench, sequence_id)
        if caught := living(bench, sequence_id):
            positions = len(prompt) + len(caught[0].token_ids) - 1
            assert held_blocks(bench, model) == 3 + len(caught) * (-(-positions // BLOCK) - 3)
            bench.loop.resume(sequence_id)
        stories = bench.finish_choices(sequence_id)
        assert stories[0].stop_reasons == ["eos"]
        assert [story.token_ids for story in stories[1:]] == [story.token_ids for story in others]
        if len(caught) == 3:
            return
    pytest.fail("the others had always ended")


def test_each_stops_for_its_own_reasons(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(20)
    free = choose(bench, model, prompt, 3, max_tokens=40)
    only = [token for token in free[1].token_ids if token not in free[0].token_ids + free[2].token_ids]
    stories = choose(bench, model, prompt, 3, sequence_id=2, max_tokens=40, eos=only[:1])
    assert [story.stop_reasons for story in stories] == [["max_tokens"], ["eos"], ["max_tokens"]]
    assert [story.result for story in (stories[0], stories[2])] == [free[0].result, free[2].result]
    assert stories[1].token_ids == free[1].token_ids[: len(stories[1].token_ids)]


def test_a_cancel_ends_all_wherever_they_are(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, slow_model(), tiny_prompt(2000), prefill_chunk=2000, max_tokens=FOREVER, choices=3)
    bench.wait_for_start(1)
    bench.loop.cancel(1)
    assert [story.stop_reasons for story in bench.finish_choices(1)] == [["cancelled"]] * 3
    bench.submit(2, model, tiny_prompt(20), max_tokens=FOREVER, choices=3, temperature=1.0)
    bench.wait_for_token(2, 5)
    bench.loop.cancel(2)
    stories = bench.finish_choices(2)
    assert [story.stop_reasons for story in stories] == [["cancelled"]] * 3
    assert [story.text for story in stories] == [tiny_vocabulary().detokenize(story.token_ids) for story in stories]
    assert bench.occupancy() == EMPTY


def test_all_are_told_when_the_loop_ends(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(20), max_tokens=FOREVER, choices=3)
    bench.wait_for_token(1)
    bench.submit(2, slow_model(), tiny_prompt(2000), max_tokens=FOREVER, choices=2)
    bench.loop.close()
    bench.submit(3, model, tiny_prompt(20), choices=2)
    for sequence_id in (1, 2, 3):
        assert {story.stop_reasons[0] for story in bench.finish_choices(sequence_id)} == {"cancelled"}


def test_their_answers_are_found_by_prompts_that_go_on_from_them(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(40)
    stories = choose(bench, model, prompt, 3, max_tokens=100, prefix_cache=True)
    for sequence_id, story in enumerate(stories, start=2):
        bench.submit(sequence_id, model, [*prompt, *story.token_ids, 1], prefix_cache=True)
        assert bench.finish(sequence_id).cached_prompt_tokens == 2 * BLOCK


def test_parts_of_a_step_add_up_whoever_parts_in_it(bench: LoopBench, model: _core.Model) -> None:
    """What the choices are said to have had of the loop is no more than there was."""
    stories = choose(bench, model, tiny_prompt(70), 4, max_tokens=30, op_times=True)
    own = sum(story.compute_ns for story in stories)
    busy = max(story.busy_ns for story in stories)
    assert 0 < own <= busy
    assert own == pytest.approx(busy, rel=1e-3)
    assert all(story.operation_ns is not None for story in stories)


def test_the_times_so_far_are_the_requests_and_never_shrink(bench: LoopBench, model: _core.Model) -> None:
    """A choice that ends leaves its time with those that go on."""
    prompt = tiny_prompt(20)
    free = choose(bench, model, prompt, 4, max_tokens=300)
    ends = [
        next(token for token in story.token_ids if story.token_ids.index(token) > 20 * i)
        for i, story in enumerate(free)
    ]
    before = bench.loop.statistics()["busy_ns"]
    bench.submit(2, model, prompt, choices=4, max_tokens=FOREVER, temperature=1.0, seed=7, eos=ends)
    told = [0]
    while not all(bench.choices[2, choice].stop_reasons for choice in range(4)):
        if bench.readable():
            bench.listen()
        busy, sequences = bench.loop.compute_times()
        if 2 in sequences:
            own, since_start = sequences[2]
            assert told[-1] <= own <= since_start <= busy - before
            told.append(own)
    assert bench.loop.compute_times()[1] == {}
    assert len(told) > 1


@pytest.mark.parametrize("choices", [0, 257])
def test_how_many_there_may_be(bench: LoopBench, model: _core.Model, choices: int) -> None:
    with pytest.raises(ValueError, match="choices"):
        bench.submit(1, model, tiny_prompt(5), choices=choices)


def test_what_they_held_together_is_told_with_their_ends(bench: LoopBench, model: _core.Model) -> None:
    """Two blocks of the prompt once, and of each the block in which it ended: 150 + 9 positions are in the third."""
    block_bytes = model.kv_bytes_per_token() * BLOCK
    stories = choose(bench, model, tiny_prompt(150), 4, max_tokens=9)
    assert max(story.kv_cache_bytes for story in stories) == (2 + 4) * block_bytes


def test_those_that_end_at_once_have_held_a_copy_of_the_open_block_each(bench: LoopBench, model: _core.Model) -> None:
    stories = choose(bench, model, tiny_prompt(150), 4, max_tokens=1)
    assert {story.kv_cache_bytes for story in stories} == {(2 + 4) * model.kv_bytes_per_token() * BLOCK}


def test_what_is_found_in_the_prefix_cache_is_held_too(bench: LoopBench, model: _core.Model) -> None:
    first, again = (bench.run(model, tiny_prompt(150), max_tokens=9, prefix_cache=True) for _ in range(2))
    assert again.cached_prompt_tokens == 2 * BLOCK
    assert again.kv_cache_bytes == first.kv_cache_bytes == 3 * model.kv_bytes_per_token() * BLOCK
