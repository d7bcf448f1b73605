"""A paused sequence costs nothing but its memory, and goes on where it stood; those beside it never stop."""

from __future__ import annotations

import time

import pytest

from engine import _core
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench
from tests.support.tiny_models import slow_model, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow


def test_nothing_is_computed_and_nothing_is_lost(bench: LoopBench, model: _core.Model) -> None:
    expected = bench.run(model, tiny_prompt(70), max_tokens=300)
    bench.submit(2, model, tiny_prompt(70), max_tokens=FOREVER)
    bench.wait_for_token(2, 10)
    assert bench.pause(2)
    before = bench.loop.statistics()
    assert (before["sequences"], before["kv_cache_bytes"] > 0) == (1, True)
    time.sleep(0.1)
    assert bench.loop.statistics() == before
    bench.resume(2)
    bench.wait_for_token(2, len(bench.stories[2].token_ids) + 50)
    assert bench.stories[2].token_ids[:300] == expected.token_ids[: len(bench.stories[2].token_ids)]
    bench.loop.cancel(2)
    bench.finish(2)


def test_where_all_are_paused_the_loop_sleeps(bench: LoopBench, model: _core.Model) -> None:
    for sequence_id, threads in ((1, 1), (2, 2)):
        bench.submit(sequence_id, model, tiny_prompt(5), max_tokens=FOREVER, threads=threads)
        bench.wait_for_token(sequence_id)
    assert bench.pause(1)
    assert bench.pause(2)
    before = time.process_time()
    time.sleep(0.3)
    # Enough for whatever else the test process does; a spinning thread would take all 0.3 s.
    assert time.process_time() - before < 0.05


def test_those_beside_it_go_on(bench: LoopBench, model: _core.Model) -> None:
    expected = bench.run(model, tiny_prompt(30), max_tokens=60).result
    bench.submit(10, model, tiny_prompt(30), max_tokens=FOREVER)
    bench.wait_for_token(10)
    assert bench.pause(10)
    for sequence_id, threads in ((11, 1), (12, 2)):
        bench.submit(sequence_id, model, tiny_prompt(30), max_tokens=60, threads=threads)
    bench.finish(11, 12)
    assert bench.stories[11].result == bench.stories[12].result == expected
    assert bench.loop.statistics()["paused"] == 1


def test_paused_before_it_begins(bench: LoopBench, model: _core.Model) -> None:
    expected = bench.run(model, tiny_prompt(30)).result
    bench.submit(9, model, tiny_prompt(30), max_tokens=FOREVER)
    bench.wait_for_token(9)
    bench.submit(10, model, tiny_prompt(30))
    # The loop may have begun; with a pause in its prompt nothing of it is lost either.
    assert bench.pause(10)
    bench.loop.cancel(9)
    bench.finish(9)
    assert not bench.stories[10].stop_reasons
    bench.resume(10)
    assert bench.finish(10).result == expected


def test_a_long_prompt_rests_between_two_chunks(bench: LoopBench) -> None:
    bench.submit(1, slow_model(), tiny_prompt(2000), prefill_chunk=16, max_tokens=1)
    bench.wait_for_start(1)
    assert bench.pause(1)
    rows = bench.loop.statistics()["prefill_rows"]
    assert (rows % 16, rows < 2000) == (0, True)
    time.sleep(0.05)
    assert bench.loop.statistics()["prefill_rows"] == rows
    bench.loop.cancel(1)
    bench.finish(1)


def test_it_may_be_cancelled_while_it_rests(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER)
    bench.wait_for_token(1)
    assert bench.pause(1)
    bench.loop.cancel(1)
    story = bench.finish(1)
    assert story.stop_reasons == ["cancelled"]
    assert story.text == tiny_vocabulary().detokenize(story.token_ids)
    assert bench.occupancy() == EMPTY
    assert bench.loop.statistics()["paused"] == 0


def test_a_prompt_cancelled_while_it_rests_costs_the_others_no_step(bench: LoopBench) -> None:
    """A cancelled prompt ends the step it is computed in; one that rests is computed in none."""
    slow = slow_model()
    bench.submit(1, slow, tiny_prompt(1500), prefill_chunk=1000, max_tokens=FOREVER, prefill_rank=2)
    assert bench.pause(1)
    bench.submit(2, slow, tiny_prompt(1000), prefill_chunk=1000, max_tokens=1, prefill_rank=1)
    bench.wait_for_start(2)
    steps = bench.loop.statistics()["steps"]
    bench.loop.cancel(1)
    bench.finish(2)
    assert bench.loop.statistics()["steps"] == steps + 1


def test_closing_ends_what_rests(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER)
    bench.wait_for_token(1)
    assert bench.pause(1)
    bench.loop.close()
    assert bench.finish(1).stop_reasons == ["cancelled"]
    bench.loop.pause(1)


def test_what_it_has_said_is_told_before_it_rests(bench: LoopBench, model: _core.Model) -> None:
    """Coalesced text waits for the next token, which may not come for long."""
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER, flush_ms=3_600_000)
    bench.wait_for_token(1)
    while bench.loop.statistics()["decode_rows"] < 20:
        time.sleep(0.001)
    assert bench.pause(1)
    bench.listen_until(lambda: len(bench.stories[1].token_ids) == 1 + bench.loop.statistics()["decode_rows"])


def test_pausing_who_is_not_there_does_nothing(bench: LoopBench, model: _core.Model) -> None:
    bench.loop.pause(99)
    story = bench.run(model, tiny_prompt(5))
    bench.loop.pause(1)
    bench.loop.resume(1)
    assert bench.run(model, tiny_prompt(5)).result == story.result
    assert bench.loop.statistics()["paused"] == 0
