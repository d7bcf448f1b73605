"""Thinking in the run loop: bounded to the token, and free of the grammar that follows it; tokens that are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench
from tests.csrc.test_grammar import END, LIST, compiled
from tests.support.tiny_models import tiny_prompt, tiny_vocabulary

END_OF_THINKING = 1
"""A control token that the tiny model hardly draws by itself."""


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary()) as bench:
        yield bench


def opened(limit: int | None = None) -> _core.ThinkingOptions:
    return _core.ThinkingOptions(begin=None, end=END_OF_THINKING, limit=limit, opened=True)


@pytest.mark.parametrize("limit", [0, 1, 5])
def test_behind_its_last_token_comes_the_end(bench: LoopBench, model: _core.Model, limit: int) -> None:
    free = bench.run(model, tiny_prompt(9), max_tokens=12)
    bound = bench.run(model, tiny_prompt(9), max_tokens=12, thinking=opened(limit))
    assert END_OF_THINKING not in free.token_ids
    assert bound.token_ids[: limit + 1] == [*free.token_ids[:limit], END_OF_THINKING]
    assert len(bound.token_ids) == 12


def test_an_end_that_comes_by_itself_is_the_only_one(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(9), max_tokens=12)
    thinking = _core.ThinkingOptions(begin=None, end=free.token_ids[2], limit=3, opened=True)
    assert bench.run(model, tiny_prompt(9), max_tokens=12, thinking=thinking).token_ids == free.token_ids


def test_a_text_opens_thinking_at_its_begin_alone(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(9), max_tokens=12)
    for place, expected in ((0, [*free.token_ids[:3], END_OF_THINKING]), (2, free.token_ids[:4])):
        if free.token_ids[place] in free.token_ids[:place]:
            continue
        thinking = _core.ThinkingOptions(begin=free.token_ids[place], end=END_OF_THINKING, limit=2, opened=False)
        assert bench.run(model, tiny_prompt(9), max_tokens=12, thinking=thinking).token_ids[:4] == expected


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_grammar_is_of_what_comes_behind_it(bench: LoopBench, model: _core.Model, temperature: float) -> None:
    story = bench.run(
        model,
        tiny_prompt(9),
        grammar=compiled(LIST),
        thinking=opened(4),
        spelled={END_OF_THINKING: "</think>"},
        temperature=temperature,
        eos=[END],
        max_tokens=64,
    )
    thought, answer = story.text.split("</think>")
    assert story.token_ids.index(END_OF_THINKING) <= 4
    assert thought or story.token_ids[0] == END_OF_THINKING
    assert re.fullmatch(LIST, answer)
    assert story.stop_reasons == ["eos"]


def test_an_end_of_text_within_it_ends_the_thinking_where_a_grammar_waits(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(9), max_tokens=3)
    story = bench.run(
        model, tiny_prompt(9), grammar=compiled("aaab"), thinking=opened(), eos=[END, free.token_ids[1]], max_tokens=64
    )
    assert story.token_ids[:2] == [free.token_ids[0], END_OF_THINKING]
    assert story.text.endswith("aaab")


def test_a_token_prints_what_it_is_spelled_as_and_may_end_an_answer(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(9), max_tokens=3)
    spelled = {free.token_ids[1]: "[MARK]"}
    assert "[MARK]" in bench.run(model, tiny_prompt(9), max_tokens=3, spelled=spelled).text
    stopped = bench.run(model, tiny_prompt(9), max_tokens=3, spelled=spelled, stops=["[MARK]"])
    assert (stopped.token_ids, stopped.stop_reasons) == (free.token_ids[:2], ["stop_string"])


def test_each_choice_thinks_for_itself(bench: LoopBench, model: _core.Model) -> None:
    settings = {"thinking": opened(6), "temperature": 1.5, "seed": 3, "max_tokens": 10}
    bench.submit(90, model, tiny_prompt(9), choices=4, **settings)  # type: ignore[arg-type]
    stories = bench.finish_choices(90)
    assert all(END_OF_THINKING in story.token_ids[:7] for story in stories)
    assert stories[0].result == bench.run(model, tiny_prompt(9), **settings).result
