"""Guesses of a second model: the same tokens, texts, log probabilities and bits of every logit as without it."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from engine import _core, _core_tests
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench
from tests.csrc.test_architecture_determinism import model_of
from tests.csrc.test_grammar import END, LIST, SAMPLING, SCHEMA, compiled
from tests.csrc.test_speculation import KV_CACHES, drafting, random_options, repeating_prompt, told
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE, ways_of
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

COMBINATIONS = int(os.environ.get("ENGINE_SPECULATION_COMBINATIONS", "12"))
"""Random batches of each table: more for a long run."""
SHAPE: dict[str, Any] = {"n_layer": 2, "context_length": 2048}
DRAFTS: dict[str, dict[str, Any]] = {
    "right": {"tensor_type": "Q8_0"},
    "nearly": {"tensor_type": "Q4_1"},
    "wrong": {"tensor_type": "Q8_0", "seed": 1},
    "other": {"tensor_type": "F32", "architecture": "qwen2", "n_layer": 1},
}
"""Draft models for one in Q8_0: itself, in fewer bits, with other weights, and of another architecture."""


def draft_model(name: str, table: str = REFERENCE, **shape: Any) -> _core.Model:
    return tiny_model(table=table, **{**SHAPE, **DRAFTS[name], **shape})


def target(table: str = REFERENCE, **shape: Any) -> _core.Model:
    return tiny_model(tensor_type="Q8_0", table=table, **{**SHAPE, **shape})


def drafted_by(
    model: _core.Model, max_rows: int = 8, row_cost: float = 0.0, cost: float = 0.0
) -> _core.SpeculationOptions:
    """Every guess is worth its time, unless it costs something."""
    return _core.SpeculationOptions(max_rows=max_rows, row_cost=row_cost, draft_model=model, draft_cost=cost)


# --- one sequence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
@pytest.mark.parametrize("draft", DRAFTS)
def test_any_draft_model_gives_the_same(
    bench: LoopBench, draft: str, kv_cache: str, heads: dict[str, Any], table: str
) -> None:
    """Over the ends of blocks of both caches, the prompt in one chunk and in several."""
    prompt = tiny_prompt(50)
    for temperature in (0.0, 1.0):
        options: dict[str, Any] = {"kv_cache": kv_cache, "temperature": temperature, "seed": 3, "max_tokens": 60}
        expected = bench.run(target(**heads), prompt, **options)
        for max_rows, chunk, threads in ways_of(table, ((2, 7, 1), (8, 256, 2), (16, 64, 3))):
            speculation = drafted_by(draft_model(draft, table, **heads), max_rows)
            story = bench.run(
                target(table, **heads), prompt, **options, prefill_chunk=chunk, threads=threads, speculation=speculation
            )
            assert told(story) == told(expected)
            assert story.drafted_tokens > 0
            assert 0 < story.draft_ns < story.compute_ns
    assert bench.occupancy() == EMPTY


def test_a_model_that_guesses_for_itself_is_always_right(bench: LoopBench) -> None:
    model, prompt = target(), tiny_prompt(20)
    before = bench.loop.statistics()
    story = bench.run(model, prompt, max_tokens=41, speculation=drafted_by(model))
    after = bench.loop.statistics()
    assert after["steps"] - before["steps"] == 1 + 40 // 8
    assert (story.drafted_tokens, story.accepted_tokens) == (35, 35)
    assert told(story) == told(bench.run(model, prompt, max_tokens=41))


def test_guesses_that_fail_are_given_up_and_tried_again(bench: LoopBench) -> None:
    """Each try that fails puts the next off four times as far."""
    speculation = drafted_by(draft_model("wrong"), row_cost=0.2, cost=0.2)
    story = bench.run(target(), tiny_prompt(20), max_tokens=1500, temperature=1.0, speculation=speculation)
    assert 0 < story.drafted_tokens < 40
    assert story.accepted_tokens < 20
    free = drafted_by(draft_model("wrong"))
    assert bench.run(target(), tiny_prompt(20), max_tokens=100, temperature=1.0, speculation=free).drafted_tokens > 400


def test_a_draft_that_costs_as_much_as_it_saves_never_runs(bench: LoopBench) -> None:
    model = target()
    story = bench.run(model, tiny_prompt(20), max_tokens=100, speculation=drafted_by(model, row_cost=0.1, cost=1.0))
    assert (story.drafted_tokens, story.accepted_tokens, story.draft_ns) == (0, 0, 0)


@pytest.mark.parametrize("table", FAST_TABLES)
def test_windows_move_over_guesses(bench: LoopBench, table: str) -> None:
    for window in (3, 32, 65):
        reference, model = (model_of("gemma3", "Q8_0", name, window) for name in (REFERENCE, table))
        draft = model_of("gemma3", "Q4_1", table, window)
        expected = bench.run(reference, tiny_prompt(29), max_tokens=120, temperature=0.5)
        story = bench.run(model, tiny_prompt(29), max_tokens=120, temperature=0.5, speculation=drafted_by(draft, 16))
        assert told(story) == told(expected)
        assert story.drafted_tokens > 0


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_every_sampler_draws_the_same(bench: LoopBench, sampling: dict[str, float]) -> None:
    prompt = repeating_prompt(60)
    options: dict[str, Any] = {"max_tokens": 60, "seed": 11, "logprobs": 3, **sampling}
    expected = bench.run(target(), prompt, **options)
    for draft in DRAFTS:
        story = bench.run(target(), prompt, **options, speculation=drafted_by(draft_model(draft)))
        assert told(story) == told(expected)


@pytest.mark.parametrize(("source", "language"), [(LIST, "regex"), (SCHEMA, "json_schema")])
def test_every_grammar_is_followed_the_same(bench: LoopBench, source: str, language: str) -> None:
    """What it forces comes first, and the draft model goes on from there."""
    grammar = compiled(source, language)
    for seed, sampling in enumerate(SAMPLING):
        prompt = repeating_prompt(30, seed)
        options: dict[str, Any] = {"grammar": grammar, "eos": [END], "max_tokens": 60, "seed": seed, **sampling}
        expected = bench.run(target(), prompt, **options)
        for draft in DRAFTS:
            story = bench.run(target(), prompt, **options, speculation=drafted_by(draft_model(draft)))
            assert told(story) == told(expected)


def test_every_end_comes_where_it_would(bench: LoopBench) -> None:
    model, prompt = target(), tiny_prompt(20)
    free = bench.run(model, prompt, max_tokens=60)
    ends: list[dict[str, Any]] = [
        {"eos": [free.token_ids[30]]},
        {"stop_token_ids": [free.token_ids[31]]},
        {"stops": [free.text[40:43]]},
        *({"max_tokens": tokens} for tokens in (1, 2, 3, 30, 33)),
        *({"context_length": tokens} for tokens in (21, 22, 23, 49, 64, 65)),
    ]
    for end in ends:
        options: dict[str, Any] = {"max_tokens": 60, **end}
        expected = bench.run(model, prompt, **options)
        for draft in ("right", "nearly"):
            story = bench.run(model, prompt, **options, speculation=drafted_by(draft_model(draft), 5))
            assert told(story) == told(expected), end
    assert bench.occupancy() == EMPTY


def test_a_draft_model_of_another_vocabulary_is_refused(bench: LoopBench) -> None:
    other = tiny_model(more_controls=("<|more|>",))
    with pytest.raises(ValueError, match="another vocabulary"):
        bench.run(target(), tiny_prompt(9), speculation=drafted_by(other))
    with pytest.raises(ValueError, match="draft_cost"):
        drafted_by(other, cost=-0.1)


# --- in company ------------------------------------------------------------------------------------------------------


def test_all_choices_of_an_answer_are_guessed(bench: LoopBench) -> None:
    prompt = repeating_prompt(100)
    options: dict[str, Any] = {"choices": 4, "max_tokens": 50, "temperature": 0.8, "seed": 5, "logprobs": 1}
    bench.submit(1, target(), prompt, **options)
    expected = [told(story) for story in bench.finish_choices(1)]
    for number, draft in enumerate(DRAFTS, start=2):
        bench.submit(number, target(), prompt, **options, speculation=drafted_by(draft_model(draft), 5))
        assert [told(story) for story in bench.finish_choices(number)] == expected
    assert bench.occupancy() == EMPTY


def test_pauses_and_cancellations_leave_the_same_tokens(bench: LoopBench) -> None:
    model, prompt = target(), tiny_prompt(20)
    expected = bench.run(model, prompt, max_tokens=600, temperature=0.5)
    options: dict[str, Any] = {"temperature": 0.5, "speculation": drafted_by(draft_model("nearly"), 4)}
    bench.submit(10, model, prompt, max_tokens=600, **options)
    bench.submit(11, model, prompt, max_tokens=FOREVER, **options)
    for tokens in (5, 200):
        bench.wait_for_token(10, tokens)
        if bench.pause(10):
            bench.wait_for_token(11, len(bench.stories[11].token_ids) + 1)
            bench.resume(10)
    bench.loop.cancel(11)
    assert told(bench.finish(10, 11)) == told(expected)
    cancelled = bench.stories[11].token_ids[:600]
    assert cancelled == expected.token_ids[: len(cancelled)]
    assert bench.occupancy() == EMPTY


def test_the_draft_models_time_is_that_of_whom_it_guesses_for(bench: LoopBench) -> None:
    for sequence_id in range(4):
        speculation = None if sequence_id % 2 else drafted_by(draft_model("nearly"))
        bench.submit(
            sequence_id, target(), tiny_prompt(9), max_tokens=40, speculation=speculation, op_times=sequence_id > 1
        )
    bench.finish(*range(4))
    for sequence_id, story in bench.stories.items():
        assert (story.draft_ns > 0) == (sequence_id % 2 == 0)
        assert (story.operation_ns is not None) == (sequence_id > 1)
        if story.operation_ns is not None:
            assert (story.operation_ns["draft"] > 0) == (story.draft_ns > 0)
    assert sum(story.compute_ns for story in bench.stories.values()) == bench.loop.statistics()["busy_ns"]


def test_operations_of_a_drafting_sequence_add_up_to_its_time(bench: LoopBench) -> None:
    story = bench.run(target(), tiny_prompt(9), max_tokens=40, speculation=drafted_by(target()), op_times=True)
    assert story.operation_ns is not None
    assert sum(story.operation_ns.values()) == story.compute_ns == story.busy_ns
    assert story.operation_ns["draft"] == story.draft_ns > 0


@pytest.mark.parametrize("table", FAST_TABLES)
def test_prefixes_of_both_models_are_found(table: str) -> None:
    """The draft model's share of the cache makes no difference but in time."""
    model, draft = target(table), draft_model("nearly", table)
    prompt = tiny_prompt(140)
    options: dict[str, Any] = {"max_tokens": 100, "temperature": 0.5, "speculation": drafted_by(draft, 7)}
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        expected = bench.run(model, prompt, max_tokens=100, temperature=0.5)
        first = bench.run(model, prompt, **options, prefix_cache=True)
        assert told(first) == told(expected)
        of_both = bench.loop.statistics()["prefix_cache_blocks"]
        conversation = [*prompt, *expected.token_ids, *tiny_prompt(30, seed=2)]
        follows = bench.run(model, conversation, max_tokens=30)
        found = bench.run(model, conversation, **{**options, "max_tokens": 30, "temperature": 0.0}, prefix_cache=True)
        assert found.cached_prompt_tokens == 192
        assert told(found) == told(follows)
        bench.loop.clear_prefixes()
        bench.run(model, prompt, max_tokens=100, temperature=0.5, prefix_cache=True)
        of_one = bench.loop.statistics()["prefix_cache_blocks"]
        assert of_one == 3 < of_both <= 2 * of_one
        again = bench.run(model, prompt, **options, prefix_cache=True)
        assert told(again) == told(expected)


def test_a_draft_model_goes_when_only_the_loop_holds_it() -> None:
    """Its prefixes go with it, and those of the model that it guessed for stay."""
    draft = _core.Model.load(str(tiny_path(tensor_type="Q4_1", **SHAPE)), REFERENCE, 1)
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        bench.run(target(), tiny_prompt(130), speculation=drafted_by(draft), prefix_cache=True)
        bench.loop.trim()
        assert bench.loop.statistics()["prefix_cache_blocks"] == 4
        del draft
        bench.loop.trim()
        assert bench.loop.statistics()["prefix_cache_blocks"] == 2


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("block", range(4))
def test_random_batches_give_what_each_gives_alone(table: str, block: int) -> None:
    """Sequences side by side, with draft models, other guesses and none, behind prefixes found and not."""
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        for number in ways_of(table, range(COMBINATIONS // 4)):
            _check_batch(bench, table, random.Random(1000 * block + number), 1000 * (number + 1))


def _check_batch(bench: LoopBench, table: str, draw: random.Random, first_id: int) -> None:
    kv_cache, shape = draw.choice(KV_CACHES)
    heads: dict[str, Any] = dict(shape)
    company: dict[str, Any] = {"threads": draw.choice([1, 2, 3]), "prefill_chunk": draw.choice([7, 64, 256])}
    sequences = draw.choice([1, 2, 5, 16])
    expected: dict[int, list[tuple[Any, ...]]] = {}
    submitted: list[tuple[int, list[int], dict[str, Any]]] = []
    for sequence_id in range(first_id, first_id + sequences):
        prompt = repeating_prompt(draw.choice([3, 40, 63, 64, 65, 90]), draw.randrange(3))
        options = random_options(draw) | {"kv_cache": kv_cache}
        bench.submit(500 + sequence_id, target(**heads), prompt, **options)
        expected[sequence_id] = [told(story) for story in bench.finish_choices(500 + sequence_id)]
        submitted.append((sequence_id, prompt, options))
    for sequence_id, prompt, options in submitted:
        draft = draw.choice([*DRAFTS, "lookup", "none"])
        max_rows, row_cost = draw.choice((2, 3, 5, 8, 16)), draw.choice([0.0, 0.05, 0.4])
        speculation = None
        if draft == "lookup":
            speculation = drafting(None, max_rows, row_cost)
        elif draft != "none":
            cost = draw.choice([0.0, 0.05, 0.4])
            speculation = drafted_by(draft_model(draft, table, **heads), max_rows, row_cost, cost)
        bench.submit(
            sequence_id, target(table, **heads), prompt, **options, **company,
            prefill_beside_decode=draw.choice([1, 9, 65536]), prefix_cache=draw.random() < 0.5, speculation=speculation,
        )  # fmt: skip
    for sequence_id, stories_alone in expected.items():
        assert [told(story) for story in bench.finish_choices(sequence_id)] == stories_alone
    assert bench.occupancy() == EMPTY


# --- whether a round is worth its time ------------------------------------------------------------------------------


def alone(chance: float, row_cost: float, draft_cost: float) -> bool:
    (chosen,) = _core_tests.plan_draft_round([(chance, row_cost, draft_cost)], rows=1, tokens=1, free_rows=8)
    return chosen


def test_alone_a_guess_must_be_likelier_than_its_row_and_its_making_are_dear() -> None:
    assert alone(0.71, 0.4, 0.3)
    assert not alone(0.69, 0.4, 0.3)
    assert not alone(0.99, 0.0, 1.0)
    assert alone(0.01, 0.0, 0.0)


def test_side_by_side_guesses_share_the_reading_of_the_draft_model() -> None:
    """Where one would not be worth a step of it, several are; and those that are unlikely stay out."""
    dear = [(0.9, 0.1, 0.3)]
    assert _core_tests.plan_draft_round(dear, rows=3, tokens=3, free_rows=8) == [False]
    assert _core_tests.plan_draft_round(dear * 2, rows=3, tokens=3, free_rows=8) == [True, True]
    assert _core_tests.plan_draft_round(dear * 2, rows=3, tokens=3, free_rows=1) == [False, False]
    likely = [(0.9, 0.1, 0.2), (0.05, 0.1, 0.2), (0.95, 0.1, 0.2)]
    assert _core_tests.plan_draft_round(likely, rows=3, tokens=3, free_rows=8) == [True, False, True]
    assert _core_tests.plan_draft_round(likely, rows=3, tokens=3, free_rows=1) == [False, False, True]
    assert _core_tests.plan_draft_round([], rows=3, tokens=3, free_rows=8) == []


def test_time_that_drafting_took_already_makes_a_row_worth_less() -> None:
    def drafts(drafting: float) -> list[int]:
        return _core_tests.plan_drafts([([0.3], 0.4)], rows=1, tokens=1, free_rows=8, drafting=drafting)

    assert (drafts(0.0), drafts(0.5)) == ([0], [1])


def test_tries_of_what_failed_lie_ever_further_apart() -> None:
    assert _core_tests.trial_chances([], [0, 5]) == [0.9, 0.9]
    assert _core_tests.trial_chances([100], [115, 116]) == [0.1, 0.9]
    assert _core_tests.trial_chances([100, 116], [116 + 63, 116 + 64]) == [0.1, 0.9]
    assert _core_tests.trial_chances([100, 116, 180], [180 + 255, 180 + 256]) == [0.1, 0.9]
