"""Ending the token loop's sequences from outside, and the loop itself."""

from __future__ import annotations

import time

import pytest

from engine import _core
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench
from tests.support.tiny_models import slow_model, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

# --- one sequence ---------------------------------------------------------------------------------------------------


def test_a_long_prompt_is_cancelled_between_two_layers(bench: LoopBench) -> None:
    bench.submit(1, slow_model(), tiny_prompt(2000), prefill_chunk=2000, max_tokens=FOREVER)
    bench.wait_for_start(1)
    assert bench.occupancy()["sequences"] <= 1
    bench.loop.cancel(1)
    story = bench.finish(1)
    assert (story.stop_reasons, story.token_ids, story.text) == (["cancelled"], [], "")
    assert bench.loop.statistics()["prefill_rows"] == 0
    assert bench.occupancy() == EMPTY


def test_a_decoding_sequence_is_cancelled(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(70), max_tokens=FOREVER, temperature=1.0)
    bench.wait_for_token(1, 10)
    bench.loop.cancel(1)
    story = bench.finish(1)
    assert story.stop_reasons == ["cancelled"]
    assert story.text == tiny_vocabulary().detokenize(story.token_ids)
    assert bench.occupancy() == EMPTY


def test_cancelling_one_leaves_the_others(bench: LoopBench, model: _core.Model) -> None:
    expected = bench.run(model, tiny_prompt(30), max_tokens=60).result
    for sequence_id in (10, 11, 12):
        bench.submit(sequence_id, model, tiny_prompt(30), max_tokens=60)
    bench.loop.cancel(11)
    bench.finish(10, 11, 12)
    assert bench.stories[10].result == bench.stories[12].result == expected
    assert bench.stories[11].stop_reasons == ["cancelled"]


def test_cancelling_who_is_not_there_does_nothing(bench: LoopBench, model: _core.Model) -> None:
    bench.loop.cancel(99)
    story = bench.run(model, tiny_prompt(5))
    bench.loop.cancel(1)
    assert bench.run(model, tiny_prompt(5)).result == story.result


def test_cancelled_before_it_begins(bench: LoopBench, model: _core.Model) -> None:
    for sequence_id in range(50):
        bench.submit(sequence_id, model, tiny_prompt(50), max_tokens=FOREVER)
        bench.loop.cancel(sequence_id)
    bench.finish(*range(50))
    assert {story.stop_reasons[0] for story in bench.stories.values()} == {"cancelled"}
    assert bench.occupancy() == EMPTY


def test_who_hears_of_an_end_finds_its_memory_gone(bench: LoopBench) -> None:
    """And hears of it before another's next step, which takes its time."""
    slow = slow_model()
    bench.submit(1, slow, tiny_prompt(5), max_tokens=FOREVER, prefill_chunk=1000)
    bench.wait_for_token(1)
    bench.submit(2, slow, tiny_prompt(2000), max_tokens=FOREVER, prefill_chunk=1000)
    bench.wait_for_start(2)
    bench.loop.cancel(1)
    bench.finish(1)
    statistics = bench.occupancy()
    assert not bench.stories[2].token_ids
    assert statistics["sequences"] == 1
    assert statistics["kv_cache_bytes"] % (slow.kv_bytes_per_token() * 64) == 0
    bench.loop.cancel(2)
    bench.finish(2)
    assert bench.occupancy() == EMPTY


# --- closing and idling ----------------------------------------------------------------------------------------------


def test_closing_ends_what_runs_as_cancelled(bench: LoopBench, model: _core.Model) -> None:
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER)
    bench.wait_for_token(1)
    bench.submit(2, slow_model(), tiny_prompt(2000), prefill_chunk=2000, max_tokens=FOREVER)
    bench.wait_for_start(2)
    bench.submit(3, model, tiny_prompt(5), max_tokens=FOREVER)
    bench.loop.close()
    bench.finish(1, 2, 3)
    assert [bench.stories[sequence_id].stop_reasons for sequence_id in (1, 2, 3)] == [["cancelled"]] * 3
    assert bench.occupancy() == EMPTY
    bench.loop.close()


def test_what_comes_after_closing_ends_as_cancelled(bench: LoopBench, model: _core.Model) -> None:
    bench.loop.close()
    story = bench.run(model, tiny_prompt(5))
    assert (story.stop_reasons, story.token_ids) == (["cancelled"], [])
    bench.loop.cancel(1)


def test_a_loop_dropped_while_it_runs_ends(model: _core.Model) -> None:
    bench = LoopBench(tiny_vocabulary())
    bench.submit(1, model, tiny_prompt(5), max_tokens=FOREVER, threads=2)
    bench.wait_for_token(1)
    del bench


def test_idling_takes_no_processor_time(bench: LoopBench, model: _core.Model) -> None:
    bench.run(model, tiny_prompt(5), threads=2)
    before = time.process_time()
    time.sleep(0.3)
    # Enough for whatever else the test process does; a spinning thread would take all 0.3 s.
    assert time.process_time() - before < 0.02
    assert not bench.readable()
