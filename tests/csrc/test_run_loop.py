"""The token loop: what it tells and when, how sequences end by themselves, and that nothing of them stays."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from engine import _core
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench
from tests.support.tiny_models import slow_model, tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

# --- events ----------------------------------------------------------------------------------------------------------


def test_a_sequence_tells_its_story_in_order(bench: LoopBench, model: _core.Model) -> None:
    before = time.monotonic_ns()
    story = bench.run(model, tiny_prompt(20), max_tokens=40, temperature=1.0, prefill_chunk=8)
    after = time.monotonic_ns()
    assert len(story.token_ids) == len(story.token_times_ns) == 40
    assert len(story.prefill_starts_ns) == 1
    times = [before, *story.prefill_starts_ns, *story.token_times_ns, after]
    assert times == sorted(times)
    assert story.text == tiny_vocabulary().detokenize(story.token_ids)
    assert (story.stop_reasons, story.error) == (["max_tokens"], "")
    assert len(bytes.fromhex(story.logits_digest)) == 16


def test_statistics_count_rows_and_steps(bench: LoopBench, model: _core.Model) -> None:
    bench.run(model, tiny_prompt(20), max_tokens=5, prefill_chunk=8)
    statistics = bench.loop.statistics()
    # Three steps for the prompt, the last of which brings the first token.
    assert (statistics["steps"], statistics["prefill_rows"], statistics["decode_rows"]) == (7, 20, 4)
    assert statistics["busy_ns"] > 0


def test_text_is_streamed_as_it_becomes_certain(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER, temperature=1.0)
    bench.wait_for_token(1, 50)
    story = bench.stories[1]
    # An unfinished character at most is missing.
    whole = tiny_vocabulary().detokenize(story.token_ids)
    assert whole.startswith(story.text)
    assert len(whole) - len(story.text) <= 1


def test_a_patient_reader_is_woken_for_the_begin_the_first_token_and_the_end(
    bench: LoopBench, model: _core.Model
) -> None:
    story = bench.run(model, tiny_prompt(5), max_tokens=200, flush_ms=3_600_000)
    assert len(story.token_ids) == 200
    assert bench.wakeups <= 3


def test_who_is_woken_for_one_sequence_finds_what_all_made_and_they_wait_anew(
    bench: LoopBench, model: _core.Model
) -> None:
    flush_ms = 20
    begun = time.monotonic()
    for sequence_id in range(1, 9):
        bench.submit(sequence_id, model, tiny_prompt(5), max_tokens=400, flush_ms=flush_ms)
        bench.wait_for_token(sequence_id, 1)
    bench.finish(*range(1, 9))
    flushes = (time.monotonic() - begun) * 1e3 / flush_ms
    assert bench.wakeups <= flushes + 8 * len(("begin", "first token", "end"))


def test_a_token_does_not_wait_for_the_next_one(bench: LoopBench) -> None:
    """If a step takes longer than a token may wait, every token is told on its own."""
    bench.submit(1, slow_model(), tiny_prompt(5), max_tokens=40, flush_ms=1)
    bench.wait_for_token(1)
    story = bench.stories[1]
    counts = [len(story.token_ids)]
    while not story.stop_reasons:
        bench.listen()
        counts.append(len(story.token_ids))
    assert any(after - before == 1 for before, after in itertools.pairwise(counts[:-1]))


def test_nothing_to_tell_leaves_the_descriptor_quiet(bench: LoopBench, model: _core.Model) -> None:
    assert not bench.readable()
    assert bench.loop.drain() == []
    bench.run(model, tiny_prompt(5), max_tokens=3)
    assert not bench.readable()
    assert bench.loop.drain() == []


def test_who_never_listens_finds_it_all_later(bench: LoopBench, model: _core.Model) -> None:
    for sequence_id in (1, 2):
        bench.submit(sequence_id, model, tiny_prompt(5), max_tokens=30)
    while bench.occupancy() != EMPTY or bench.loop.statistics()["decode_rows"] < 58:
        time.sleep(0.001)
    first, second = bench.loop.drain()
    assert (first.sequence_id, second.sequence_id) == (1, 2)
    assert first.token_ids == second.token_ids
    assert (len(first.token_ids), first.stop_reason) == (30, "max_tokens")


# --- why sequences end -----------------------------------------------------------------------------------------------


def test_an_end_token_ends_it_and_is_not_text(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(5), max_tokens=40, temperature=1.0)
    end = next(token for token in free.token_ids[3:] if free.token_ids.index(token) >= 3)
    place = free.token_ids.index(end)
    story = bench.run(model, tiny_prompt(5), max_tokens=40, temperature=1.0, eos=[9999, end])
    assert story.stop_reasons == ["eos"]
    assert story.token_ids == free.token_ids[: place + 1]
    assert story.text == tiny_vocabulary().detokenize(free.token_ids[:place])


@pytest.mark.parametrize(
    ("option", "reason"), [("stop_token_ids", "stop_token"), ("stop_string_token_ids", "stop_string")]
)
def test_a_token_to_stop_at_ends_it_and_is_not_text(
    option: str, reason: str, bench: LoopBench, model: _core.Model
) -> None:
    free = bench.run(model, tiny_prompt(5), max_tokens=40, temperature=1.0)
    stop = next(token for token in free.token_ids[3:] if free.token_ids.index(token) >= 3)
    place = free.token_ids.index(stop)
    held = free.text[-3:] + "and more"
    story = bench.run(
        model, tiny_prompt(5), max_tokens=40, temperature=1.0, eos=[9999], stops=[held], **{option: [9998, stop]}
    )
    assert story.stop_reasons == [reason]
    assert story.token_ids == free.token_ids[: place + 1]
    assert story.text == tiny_vocabulary().detokenize(free.token_ids[:place])
    both = bench.run(model, tiny_prompt(5), max_tokens=40, temperature=1.0, eos=[stop], **{option: [stop]})
    assert both.stop_reasons == ["eos"]


def test_a_stop_string_over_two_tokens_ends_it(bench: LoopBench, model: _core.Model) -> None:
    options = {"max_tokens": 100, "temperature": 1.0, "seed": 3}
    free = bench.run(model, tiny_prompt(5), **options)
    pieces = [tiny_vocabulary().piece(token) for token in free.token_ids]
    pairs = [a[-1:] + b[:1] for a, b in itertools.pairwise(pieces) if a[-1:].isalnum() and b[:1].isalnum()]
    stop = pairs[0].decode()
    story = bench.run(model, tiny_prompt(5), **options, stops=["never said", stop])
    assert story.stop_reasons == ["stop_string"]
    assert story.text == free.text[: free.text.index(stop)]
    count = len(story.token_ids)
    assert story.token_ids == free.token_ids[:count]
    texts = [tiny_vocabulary().detokenize(free.token_ids[:n]) for n in (count - 1, count)]
    assert [stop in text for text in texts] == [False, True]


def test_text_held_back_for_a_stop_string_comes_with_the_end(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(5), max_tokens=30, temperature=1.0)
    story = bench.run(model, tiny_prompt(5), max_tokens=30, temperature=1.0, stops=[free.text[-3:] + "and more"])
    assert story.stop_reasons == ["max_tokens"]
    assert story.text == free.text


def test_the_context_ends_it(bench: LoopBench, model: _core.Model) -> None:
    story = bench.run(model, tiny_prompt(5), max_tokens=FOREVER, context_length=70)
    assert story.stop_reasons == ["context_full"]
    assert len(story.token_ids) == 65
    story = bench.run(model, tiny_prompt(5), context_length=6)
    assert (story.stop_reasons, len(story.token_ids)) == (["context_full"], 1)


def test_one_token_is_enough(bench: LoopBench, model: _core.Model) -> None:
    story = bench.run(model, tiny_prompt(1), max_tokens=1)
    assert (story.stop_reasons, len(story.token_ids)) == (["max_tokens"], 1)


def test_a_token_the_vocabulary_lacks_prints_nothing(bench: LoopBench) -> None:
    model = tiny_model(vocabulary="spm")
    assert len(tiny_vocabulary()) < model.vocab_size
    story = bench.run(model, tiny_prompt(5), max_tokens=100, temperature=1.0)
    printable = [token for token in story.token_ids if token < len(tiny_vocabulary())]
    assert len(printable) < len(story.token_ids) == 100
    assert story.text == tiny_vocabulary().detokenize(printable)


# --- side by side ----------------------------------------------------------------------------------------------------


def test_two_groups_run_side_by_side(bench: LoopBench) -> None:
    llama, qwen = tiny_model("llama"), tiny_model("qwen2", "Q8_0")
    prompt = tiny_prompt(20)
    expected = [bench.run(model, prompt, max_tokens=50).result for model in (llama, qwen)]
    for sequence_id, (model, threads) in enumerate([(llama, 1), (qwen, 2), (llama, 2), (qwen, 1)], 10):
        bench.submit(sequence_id, model, prompt, max_tokens=50, threads=threads)
    bench.finish(10, 11, 12, 13)
    assert [bench.stories[sequence_id].result for sequence_id in (10, 11, 12, 13)] == expected * 2
    assert bench.occupancy() == EMPTY


def test_sequences_of_both_kv_cache_types_share_steps(bench: LoopBench) -> None:
    model = tiny_model(n_head=2, n_head_kv=1)
    prompt = tiny_prompt(90)
    expected = [bench.run(model, prompt, max_tokens=50, kv_cache=name).result for name in ("f16", "q8_0")]
    assert expected[0] != expected[1]
    before = bench.loop.statistics()
    for sequence_id, name in enumerate(["f16", "q8_0", "f16", "q8_0"], 10):
        bench.submit(sequence_id, model, prompt, max_tokens=50, kv_cache=name)
    bench.finish(10, 11, 12, 13)
    after = bench.loop.statistics()
    assert after["steps"] - before["steps"] < after["decode_rows"] - before["decode_rows"]
    assert [bench.stories[sequence_id].result for sequence_id in (10, 11, 12, 13)] == expected * 2


def test_a_kv_cache_takes_what_its_type_says(bench: LoopBench) -> None:
    model = tiny_model(n_head=2, n_head_kv=1)
    for sequence_id, name in enumerate(("f16", "q8_0")):
        bench.submit(sequence_id, model, tiny_prompt(50), max_tokens=FOREVER, kv_cache=name)
        bench.wait_for_token(sequence_id)
        assert bench.occupancy()["kv_cache_bytes"] % (model.kv_bytes_per_token(name) * 64) == 0
        bench.loop.cancel(sequence_id)
        bench.finish(sequence_id)
    with pytest.raises(ValueError, match="multiple of 32"):
        bench.submit(2, tiny_model(), tiny_prompt(5), kv_cache="q8_0")


def test_more_sequences_than_a_step_has_room_for(bench: LoopBench, model: _core.Model) -> None:
    expected = bench.run(model, tiny_prompt(1), max_tokens=4, context_length=256).result
    ids = range(1000, 1600)
    for sequence_id in ids:
        bench.submit(sequence_id, model, tiny_prompt(1), max_tokens=4, context_length=256)
    bench.finish(*ids)
    assert all(bench.stories[sequence_id].result == expected for sequence_id in ids)


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_model_is_let_go_when_only_idle_groups_hold_it(bench: LoopBench, model: _core.Model) -> None:
    """Seen by the threads of its groups, which go with it."""
    short_lived = _core.Model.load(str(tiny_path()), "reference", 1)
    before = threads_of_this_process()
    for sequence_id, threads in ((1, 1), (2, 2), (3, 3)):
        bench.submit(sequence_id, short_lived, tiny_prompt(5), threads=threads)
    bench.finish(1, 2, 3)
    assert threads_of_this_process() == before + 1 + 2
    del short_lived
    bench.run(model, tiny_prompt(5))
    assert threads_of_this_process() == before


def test_seeds(bench: LoopBench, model: _core.Model) -> None:
    runs = [
        bench.run(model, tiny_prompt(5), max_tokens=30, temperature=1.0, seed=seed) for seed in (1, 2, 1, 2**64 - 1)
    ]
    assert runs[0].result == runs[2].result
    assert len({tuple(story.token_ids) for story in runs}) == 3


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "options", "match"),
    [
        ([], {}, "no tokens"),
        ([1, 2, 3], {"context_length": 3}, "fills the context"),
        ([1] * 100, {"context_length": 64}, "fills the context"),
        ([1, 100_000], {}, "token 100000"),
        ([-1], {}, "token -1"),
        ([1], {"threads": 0}, "threads"),
        ([1], {"max_tokens": 0}, "max_tokens"),
        ([1], {"prefill_chunk": 0}, "prefill_chunk"),
        ([1], {"prefill_chunk": 2**62}, "prefill_chunk"),
        ([1], {"temperature": -1.0}, "temperature"),
        ([1], {"top_p": 0.0}, "top_p"),
        ([1], {"repeat_penalty": 0.0}, "repeat_penalty"),
        ([1], {"stops": ["ok", ""]}, "empty"),
    ],
)
def test_nonsense_is_refused(
    bench: LoopBench, model: _core.Model, prompt: list[int], options: dict[str, object], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        bench.submit(1, model, prompt, **options)  # type: ignore[arg-type]
    assert bench.occupancy() == EMPTY
    assert bench.run(model, tiny_prompt(5)).stop_reasons == ["max_tokens"]


def test_neither_model_nor_vocabulary_may_be_missing(bench: LoopBench, model: _core.Model) -> None:
    with pytest.raises(TypeError):
        bench.submit(1, None, [1])  # type: ignore[arg-type]
    bench.vocabulary = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        bench.submit(1, model, [1])
