"""Tokens computed ahead of time: the same tokens, texts, log probabilities and bits of every logit as one at a time."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from engine import _core, _core_tests
from engine.grammar.grammars import require_library
from tests.csrc.loop_bench import EMPTY, FOREVER, LoopBench, Story
from tests.csrc.test_architecture_determinism import model_of
from tests.csrc.test_grammar import END, LIST, SAMPLING, SCHEMA, compiled
from tests.support.damaged_models import ModelFile
from tests.support.kernel_tables import ALL_TABLES, FAST_TABLES, REFERENCE
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

VOCABULARY = 300
KV_CACHES = [("f16", {}), ("q8_0", {"n_head": 2, "n_head_kv": 1})]
COMBINATIONS = int(os.environ.get("ENGINE_SPECULATION_COMBINATIONS", "40"))
"""Random batches of each table: more for a long run."""
MOST_ROWS = (2, 3, 4, 5, 8, 16)


def told(story: Story) -> tuple[Any, ...]:
    """What must be the same in every run."""
    return (*story.result, story.logprobs, story.error)


def drafting(text: Sequence[int] | None = None, max_rows: int = 8, row_cost: float = 0.0) -> _core.SpeculationOptions:
    """Every guess is worth its row, looked up or out of a text."""
    drafter = None if text is None else _core_tests.ScriptedDrafter(text)
    return _core.SpeculationOptions(max_rows=max_rows, row_cost=row_cost, drafter=drafter)


def repeating_prompt(length: int, seed: int = 0) -> list[int]:
    """A prompt of phrases that come again."""
    draw = random.Random(seed)
    phrases = [tiny_prompt(draw.randint(3, 9), seed=seed * 10 + number) for number in range(4)]
    prompt: list[int] = []
    while len(prompt) < length:
        prompt += draw.choice(phrases)
    return prompt[:length]


def wrong(text: Sequence[int]) -> list[int]:
    return [(token + 1) % VOCABULARY for token in text]


# --- one sequence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("kv_cache", "heads"), KV_CACHES)
@pytest.mark.parametrize("max_rows", MOST_ROWS)
def test_right_and_wrong_guesses_of_any_number_give_the_same(
    bench: LoopBench, max_rows: int, kv_cache: str, heads: dict[str, object], table: str
) -> None:
    """Keys and values of wrong ones lie in the cache, within a block, at its end and in the next one."""
    shape = {"n_layer": 2, "context_length": 2048, **heads}
    reference, model = (tiny_model("llama", "Q8_0", name, **shape) for name in (REFERENCE, table))
    prompt = tiny_prompt(50)
    options: dict[str, Any] = {"kv_cache": kv_cache, "temperature": 1.0, "seed": 3, "max_tokens": 60}
    expected = bench.run(reference, prompt, **options)
    right = [*prompt, *expected.token_ids]
    mixed = [token if number % 5 else (token + 1) % VOCABULARY for number, token in enumerate(right)]
    for text in (right, wrong(right), mixed, right + right):
        story = bench.run(model, prompt, **options, threads=2, speculation=drafting(text, max_rows))
        assert told(story) == told(expected)
        assert story.drafted_tokens > 0
    assert bench.occupancy() == EMPTY


def test_right_guesses_take_no_steps_of_their_own(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(20)
    expected = bench.run(model, prompt, max_tokens=41)
    before = bench.loop.statistics()
    story = bench.run(model, prompt, max_tokens=41, speculation=drafting([*prompt, *expected.token_ids], max_rows=8))
    after = bench.loop.statistics()
    assert told(story) == told(expected)
    assert after["steps"] - before["steps"] == 1 + 40 // 8
    assert (story.drafted_tokens, story.accepted_tokens) == (35, 35)


def test_wrong_guesses_are_counted_and_given_up(bench: LoopBench, model: _core.Model) -> None:
    """Where rows cost something, a sequence whose guesses fail has none drafted before long."""
    prompt = tiny_prompt(20)
    text = wrong([*prompt, *bench.run(model, prompt, max_tokens=300).token_ids])
    story = bench.run(model, prompt, max_tokens=300, speculation=drafting(text, row_cost=0.2))
    assert 0 < story.drafted_tokens < 10
    assert story.accepted_tokens == 0
    story = bench.run(model, prompt, max_tokens=300, speculation=drafting(text, row_cost=0.0))
    assert story.drafted_tokens > 1000


def test_a_text_that_repeats_itself_is_guessed(bench: LoopBench, model: _core.Model) -> None:
    """A greedy tiny model ends in a circle."""
    prompt = tiny_prompt(20)
    expected = bench.run(model, prompt, max_tokens=400)
    story = bench.run(model, prompt, max_tokens=400, speculation=drafting(row_cost=0.2))
    assert told(story) == told(expected)
    assert 200 < story.accepted_tokens <= story.drafted_tokens


@pytest.mark.parametrize("table", FAST_TABLES)
def test_windows_move_over_guesses(bench: LoopBench, table: str) -> None:
    for window in (3, 32, 65):
        reference, model = (model_of("gemma3", "Q8_0", name, window) for name in (REFERENCE, table))
        prompt = tiny_prompt(29)
        expected = bench.run(reference, prompt, max_tokens=120, temperature=1.0)
        text = [*prompt, *expected.token_ids]
        text[60], text[61], text[100] = 1, 2, 3
        story = bench.run(model, prompt, max_tokens=120, temperature=1.0, speculation=drafting(text, 16))
        assert told(story) == told(expected)


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_every_sampler_draws_the_same(bench: LoopBench, model: _core.Model, sampling: dict[str, float]) -> None:
    prompt = repeating_prompt(60)
    options: dict[str, Any] = {"max_tokens": 80, "seed": 11, "logprobs": 3, **sampling}
    expected = bench.run(model, prompt, **options)
    right = [*prompt, *expected.token_ids]
    for text in (None, right, wrong(right)):
        assert told(bench.run(model, prompt, **options, speculation=drafting(text))) == told(expected)


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
@pytest.mark.parametrize(("source", "language"), [(LIST, "regex"), (SCHEMA, "json_schema")])
def test_every_grammar_is_followed_the_same(
    bench: LoopBench, model: _core.Model, source: str, language: str, sampling: dict[str, float]
) -> None:
    grammar = compiled(source, language)
    for seed in range(3):
        prompt = repeating_prompt(30, seed)
        options: dict[str, Any] = {"grammar": grammar, "eos": [END], "max_tokens": 60, "seed": seed, **sampling}
        expected = bench.run(model, prompt, **options)
        right = [*prompt, *expected.token_ids]
        for text in (None, right, wrong(right)):
            assert told(bench.run(model, prompt, **options, speculation=drafting(text))) == told(expected)


def test_what_a_grammar_forces_is_drafted(bench: LoopBench, model: _core.Model) -> None:
    grammar = compiled("abcabdabeabfabg")
    expected = bench.run(model, tiny_prompt(9), grammar=grammar, eos=[END], max_tokens=40)
    story = bench.run(model, tiny_prompt(9), grammar=grammar, eos=[END], max_tokens=40, speculation=drafting([]))
    assert told(story) == told(expected)
    assert story.accepted_tokens > 0


def test_a_forced_token_that_the_model_does_not_have_is_never_drafted(bench: LoopBench, model: _core.Model) -> None:
    spm = _core.Vocabulary(_core.GgufFile(str(tiny_path(vocabulary="spm", pre=None))))
    foreign = _core.GrammarVocabulary(require_library(), spm, [])
    grammar = _core.Grammar(foreign, "lark", 'start: "a" <[400]>', patience_ms=10_000)
    story = bench.run(model, tiny_prompt(30), grammar=grammar, vocabulary=spm, speculation=drafting([]))
    assert (story.stop_reasons, story.text) == (["error"], "a")
    assert "no token of the vocabulary may come next" in story.error


# --- ends ------------------------------------------------------------------------------------------------------------


def test_every_end_comes_where_it_would(bench: LoopBench, model: _core.Model) -> None:
    """In the middle of a step whose guesses are all right."""
    prompt = tiny_prompt(20)
    free = bench.run(model, prompt, max_tokens=60, temperature=1.0)
    right = [*prompt, *free.token_ids]
    middle = next(n for n in range(20, 60) if free.token_ids[n] not in free.token_ids[:n])
    ends: list[dict[str, Any]] = [
        {"eos": [free.token_ids[middle]]},
        {"stop_token_ids": [free.token_ids[middle]]},
        {"stop_string_token_ids": [free.token_ids[middle]]},
        {"stops": [free.text[40:43]]},
        *({"max_tokens": tokens} for tokens in (1, 2, 3, 30, 33)),
        *({"context_length": tokens} for tokens in (21, 22, 23, 49, 64, 65)),
    ]
    for end in ends:
        options: dict[str, Any] = {"max_tokens": 60, "temperature": 1.0, **end}
        expected = bench.run(model, prompt, **options)
        for max_rows in MOST_ROWS:
            story = bench.run(model, prompt, **options, speculation=drafting(right, max_rows))
            assert told(story) == told(expected), end
    assert bench.occupancy() == EMPTY


def test_values_that_overflow_end_it_where_they_would(bench: LoopBench, tmp_path: Any) -> None:
    """And wrong guesses whose values overflow end nothing."""
    whole = ModelFile(tiny_path(tensor_type="F32", tied=False))
    overflowing = _core.Model.load(str(whole.scaled(tmp_path / "model.gguf", "output.weight", 1e39)), REFERENCE, 1)
    prompt = tiny_prompt(30)
    expected = bench.run(overflowing, prompt)
    story = bench.run(overflowing, prompt, speculation=drafting([*prompt, *prompt]))
    assert told(story) == told(expected)
    assert story.non_finite == expected.non_finite is not None


# --- in company ------------------------------------------------------------------------------------------------------


def test_all_choices_of_an_answer_guess_for_themselves(bench: LoopBench, model: _core.Model) -> None:
    prompt = repeating_prompt(100)
    options: dict[str, Any] = {"choices": 4, "max_tokens": 50, "temperature": 0.8, "seed": 5, "logprobs": 1}
    bench.submit(1, model, prompt, **options)
    expected = [told(story) for story in bench.finish_choices(1)]
    right = [*prompt, *bench.choices[1, 2].token_ids]
    for number, speculation in enumerate((drafting(), drafting(right), drafting(wrong(right), 3)), start=2):
        bench.submit(number, model, prompt, **options, threads=number, speculation=speculation)
        assert [told(story) for story in bench.finish_choices(number)] == expected
    assert bench.choices[3, 2].accepted_tokens > bench.choices[3, 1].accepted_tokens


def test_pauses_and_cancellations_leave_the_same_tokens(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(20)
    expected = bench.run(model, prompt, max_tokens=2000, temperature=1.0)
    text = [*prompt, *expected.token_ids]
    bench.submit(10, model, prompt, max_tokens=2000, temperature=1.0, speculation=drafting(text, 3))
    bench.submit(11, model, prompt, max_tokens=FOREVER, temperature=1.0, speculation=drafting(text, 5))
    for tokens in (5, 200, 600):
        bench.wait_for_token(10, tokens)
        if bench.pause(10):
            bench.wait_for_token(11, len(bench.stories[11].token_ids) + 1)
            bench.resume(10)
    bench.loop.cancel(11)
    assert told(bench.finish(10, 11)) == told(expected)
    cancelled = bench.stories[11].token_ids[:2000]
    assert cancelled == expected.token_ids[: len(cancelled)]
    assert bench.occupancy() == EMPTY


@pytest.mark.parametrize("table", FAST_TABLES)
def test_prefixes_found_and_left_are_those_of_the_text(table: str) -> None:
    """What guessing left in a block beyond the text is not found by the prompt that goes on from it."""
    model = tiny_model("qwen2", "Q4_1", table, context_length=4096)
    prompt = tiny_prompt(40)
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        options: dict[str, Any] = {"max_tokens": 100, "temperature": 1.0, "prefix_cache": True}
        expected = bench.run(model, prompt, **{**options, "prefix_cache": False})
        right = [*prompt, *expected.token_ids]
        conversation = [*right, *tiny_prompt(30, seed=2)]
        follows = bench.run(model, conversation, max_tokens=30)
        for text in (right, wrong(right), right[:100] + wrong(right[100:])):
            bench.loop.clear_prefixes()
            assert told(bench.run(model, prompt, **options, speculation=drafting(text, 7))) == told(expected)
            found = bench.run(model, conversation, max_tokens=30, prefix_cache=True, speculation=drafting(text, 5))
            assert found.cached_prompt_tokens == 128
            assert told(found) == told(follows)


def random_options(draw: random.Random) -> dict[str, Any]:
    """Options of one sequence; every setting that may change a token."""
    options: dict[str, Any] = {
        "seed": draw.randrange(100),
        "max_tokens": draw.choice([1, 2, 9, 30, 70]),
        "context_length": draw.choice([1 << 20, 128, 100]),
        "logprobs": draw.choice([None, None, 0, 3]),
        **draw.choice([{}, *SAMPLING]),
    }
    if draw.random() < 0.3:
        source, language = draw.choice([(LIST, "regex"), (SCHEMA, "json_schema")])
        options |= {"grammar": compiled(source, language), "eos": [END]}
    elif draw.random() < 0.4:
        options |= draw.choice([{"stops": ["e"]}, {"stop_token_ids": [17, 40]}, {"eos": list(range(100, 110))}])
    if draw.random() < 0.2:
        options["choices"] = draw.randint(2, 4)
    return options


def random_guesses(draw: random.Random, text: Sequence[int]) -> _core.SpeculationOptions | None:
    max_rows, row_cost = draw.choice(MOST_ROWS), draw.choice([0.0, 0.0, 0.1, 0.4])
    kind = draw.choice(["none", "lookup", "right", "wrong", "mixed"])
    if kind == "none":
        return None
    if kind == "lookup":
        return drafting(None, max_rows, row_cost)
    share = {"right": 0.0, "wrong": 1.0, "mixed": draw.random()}[kind]
    guesses = [(token + 1) % VOCABULARY if draw.random() < share else token for token in text]
    return drafting(guesses, max_rows, row_cost)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("block", range(4))
def test_random_batches_give_what_each_gives_alone(table: str, block: int) -> None:
    """Sequences side by side, some of which guess, on any number of threads, behind prefixes found and not."""
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 26) as bench:
        for number in range(COMBINATIONS // 4):
            _check_batch(bench, table, random.Random(1000 * block + number), 1000 * (number + 1))


def _check_batch(bench: LoopBench, table: str, draw: random.Random, first_id: int) -> None:
    kv_cache, heads = draw.choice(KV_CACHES)
    architecture = draw.choice(["llama", "qwen2"])
    tensor_type = draw.choice(["Q8_0", "Q4_1"])
    reference, model = (
        tiny_model(architecture, tensor_type, name, context_length=2048, **heads) for name in (REFERENCE, table)
    )
    company: dict[str, Any] = {"threads": draw.choice([1, 2, 3]), "prefill_chunk": draw.choice([7, 64, 256])}
    sequences = draw.choice([1, 2, 5, 16])
    expected: dict[int, list[tuple[Any, ...]]] = {}
    submitted: list[tuple[int, list[int], dict[str, Any], list[int]]] = []
    for sequence_id in range(first_id, first_id + sequences):
        prompt = repeating_prompt(draw.choice([3, 40, 63, 64, 65, 90]), draw.randrange(3))
        options = random_options(draw) | {"kv_cache": kv_cache}
        bench.submit(500 + sequence_id, reference, prompt, **options)
        stories = bench.finish_choices(500 + sequence_id)
        expected[sequence_id] = [told(story) for story in stories]
        submitted.append((sequence_id, prompt, options, [*prompt, *draw.choice(stories).token_ids]))
    for sequence_id, prompt, options, text in submitted:
        speculation = random_guesses(draw, text)
        cached = draw.random() < 0.5
        bench.submit(sequence_id, model, prompt, **options, **company, prefix_cache=cached, speculation=speculation)
    for sequence_id, stories_alone in expected.items():
        assert [told(story) for story in bench.finish_choices(sequence_id)] == stories_alone
    assert bench.occupancy() == EMPTY


@pytest.mark.parametrize(("max_rows", "row_cost"), [(0, 0.1), (257, 0.1), (8, -0.1), (8, float("nan"))])
def test_numbers_out_of_range_are_refused(max_rows: int, row_cost: float) -> None:
    with pytest.raises(ValueError, match=r"max_rows|row_cost"):
        _core.SpeculationOptions(max_rows=max_rows, row_cost=row_cost)
