"""Sequences that sample side by side: members of the team share their draws, and no draw shows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.csrc.loop_bench import LoopBench, Story
from tests.support.kernel_tables import ALL_TABLES
from tests.support.tiny_models import tiny_model, tiny_prompt

SAMPLED: list[dict[str, Any]] = [
    {},
    {"temperature": 0.8, "top_k": 4, "top_p": 0.95, "min_p": 0.05},
    {"temperature": 5.0, "top_p": 0.99, "logprobs": 5},
    {"temperature": 1.0, "typical_p": 0.9, "repeat_penalty": 1.3, "dry_multiplier": 0.5},
    {"temperature": 1.2, "mirostat_tau": 3.0},
    {"logprobs": 2},
    {"temperature": 1.0, "xtc_probability": 0.5, "choices": 3},
]


def told(story: Story) -> tuple[object, ...]:
    return story.result, story.logprobs


def side_by_side(bench: LoopBench, table: str, threads: int) -> list[list[tuple[object, ...]]]:
    model, first = tiny_model(table=table), len(bench.stories) + 1
    for number, sampling in enumerate(SAMPLED):
        bench.submit(
            first + number, model, tiny_prompt(5 + number), max_tokens=12, seed=number, threads=threads, **sampling
        )
    return [[told(story) for story in bench.finish_choices(first + number)] for number in range(len(SAMPLED))]


@pytest.mark.parametrize("table", ALL_TABLES)
def test_neighbours_and_threads_change_no_draw(bench: LoopBench, table: str) -> None:
    alone = []
    for number, sampling in enumerate(SAMPLED):
        bench.run(tiny_model(), tiny_prompt(5 + number), max_tokens=12, seed=number, **sampling)
        alone.append([told(story) for story in bench.finish_choices(len(bench.stories))])
    assert len({str(each) for each in alone}) == len(SAMPLED)
    for threads in (1, 2, 3):
        assert side_by_side(bench, table, threads) == alone
