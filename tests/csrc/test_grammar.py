"""Answers that follow a grammar: which tokens may come next, how such an answer ends, and that its bits are as sure as
any other's.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence

import pytest

from engine import _core, _core_tests
from engine.grammar.grammars import require_library
from tests.csrc.loop_bench import EMPTY, LoopBench
from tests.support.kernel_tables import ALL_TABLES
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

END, OTHER_END = 2, 0
WORDS = ("the world", "the 11", "the 1111", "that", "for you", "for", "hello world")
ALTERNATIVES = "|".join(WORDS)
LIST = r"(the|and|for)( of| to| is){2,4}"
SCHEMA = '{"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},"required":["a","b"],'
SCHEMA += '"additionalProperties":false,"x-guidance":{"whitespace_flexible":false}}'
SAMPLING: list[dict[str, float]] = [
    {},
    {"temperature": 1.0},
    {"temperature": 1.5, "top_p": 0.9},
    {"temperature": 1.2, "typical_p": 0.8, "xtc_probability": 0.5},
    {"temperature": 1.0, "mirostat_tau": 3.0},
    {"temperature": 0.9, "top_k": 5, "dry_multiplier": 0.8, "frequency_penalty": 0.5},
    {"repeat_penalty": 1.3},
    {"temperature": 0.8, "repeat_penalty": 1.1},
]


@functools.cache
def grammar_vocabulary(end_tokens: Sequence[int] = (END,)) -> _core.GrammarVocabulary:
    return _core.GrammarVocabulary(require_library(), tiny_vocabulary(), end_tokens)


def compiled(source: str, language: str = "regex", end_tokens: tuple[int, ...] = (END,)) -> _core.Grammar:
    return _core.Grammar(grammar_vocabulary(end_tokens), language, source, patience_ms=10_000)


def matcher(source: str, language: str = "regex", end_tokens: tuple[int, ...] = (END,)) -> _core_tests.GrammarMatcher:
    return _core_tests.GrammarMatcher(compiled(source, language, end_tokens))


def pieces() -> list[str]:
    return [tiny_vocabulary().piece(token).decode("latin-1") for token in range(len(tiny_vocabulary()))]


def test_a_vocabulary_of_pieces_alone_allows_what_its_files_does() -> None:
    given = _core.Vocabulary([tiny_vocabulary().piece(token) for token in range(len(tiny_vocabulary()))])
    tokens = _core.GrammarVocabulary(require_library(), given, (END,))
    walk = _core_tests.GrammarMatcher(_core.Grammar(tokens, "regex", ALTERNATIVES, patience_ms=10_000))
    assert walk.allowed() == matcher(ALTERNATIVES).allowed()


# --- which tokens may come next --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_tokens_allowed_are_those_that_some_word_goes_on_with(seed: int) -> None:
    walk, text, names = matcher(ALTERNATIVES), "", pieces()
    draw = random.Random(seed)
    while not walk.finished:
        expected = {
            token for token, piece in enumerate(names) if piece and any(w.startswith(text + piece) for w in WORDS)
        }
        ends = {END} if text in WORDS else set()
        allowed = walk.allowed()
        assert allowed == sorted(expected | ends)
        token = draw.choice([token for token in allowed if token != END])
        walk.accept(token)
        text += names[token]
    assert text in WORDS


def test_it_is_finished_where_nothing_may_follow_and_not_where_something_may() -> None:
    walk, names = matcher("1(11)?"), pieces()
    assert END not in walk.allowed()
    walk.accept(names.index("1"))
    assert END in walk.allowed()
    assert not walk.finished
    walk.accept(names.index("11"))
    assert walk.finished


def test_every_end_token_is_allowed_where_a_text_may_end_and_no_other_control_token_ever() -> None:
    allowed = matcher("a*", end_tokens=(END, OTHER_END)).allowed()
    assert {END, OTHER_END} <= set(allowed)
    assert all(pieces()[token] for token in allowed if token not in (END, OTHER_END))


def test_a_token_that_is_not_allowed_is_refused_and_the_grammar_stays_usable() -> None:
    grammar = compiled("ab")
    walk = _core_tests.GrammarMatcher(grammar)
    with pytest.raises(_core.GrammarError):
        walk.accept(pieces().index("b"))
    assert _core_tests.GrammarMatcher(grammar).allowed() == [pieces().index("a")]


@pytest.mark.parametrize(
    ("language", "source"),
    [("regex", "("), ("lark", "start: ("), ("json_schema", '{"type": "nothing"}'), ("regex", "a\0b"), ("no", "a")],
)
def test_what_is_no_grammar_is_refused(language: str, source: str) -> None:
    with pytest.raises(_core.GrammarError):
        compiled(source, language)


def test_a_grammar_that_allows_nothing_is_refused() -> None:
    with pytest.raises(_core.GrammarError):
        compiled("[^\\s\\S]")


def test_an_end_token_that_is_none_is_refused() -> None:
    with pytest.raises(_core.GrammarError, match="out of range"):
        grammar_vocabulary((len(tiny_vocabulary()),))


def test_a_file_that_is_not_the_library_is_refused() -> None:
    with pytest.raises(_core.GrammarLibraryError, match="invalid ELF header"):
        _core.GrammarLibrary(str(tiny_path()))
    with pytest.raises(_core.GrammarLibraryError, match="llg_get_version"):
        _core.GrammarLibrary(_core.__file__)


# --- in the run loop -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
def test_an_answer_matches_as_a_whole_and_ends_by_itself(
    bench: LoopBench, model: _core.Model, sampling: dict[str, float]
) -> None:
    for seed in range(6):
        story = bench.run(
            model, tiny_prompt(9, seed), grammar=compiled(LIST), seed=seed, eos=[END], max_tokens=64, **sampling
        )
        assert re.fullmatch(LIST, story.text), story.text
        assert story.stop_reasons == ["eos"]
        assert tiny_vocabulary().detokenize(story.token_ids) == story.text
    assert bench.occupancy() == EMPTY


def test_it_ends_with_the_token_that_completes_it(bench: LoopBench, model: _core.Model) -> None:
    """No step is spent on a certain end token; a text completed by its last allowed token counts as complete."""
    story = bench.run(model, tiny_prompt(5), grammar=compiled("(11){3}"), eos=[END], max_tokens=64)
    assert (story.text, story.stop_reasons) == ("111111", ["eos"])
    assert END not in story.token_ids
    again = bench.run(model, tiny_prompt(5), grammar=compiled("(11){3}"), eos=[END], max_tokens=len(story.token_ids))
    assert again.result == story.result


def test_where_the_answer_could_go_on_the_model_may_end_it(bench: LoopBench, model: _core.Model) -> None:
    stories = [
        bench.run(
            model, tiny_prompt(5), grammar=compiled("[ab]+"), temperature=1.0, seed=seed, eos=[END], max_tokens=40
        )
        for seed in range(60)
    ]
    ended = [story for story in stories if story.stop_reasons == ["eos"]]
    assert ended
    assert all(story.token_ids[-1] == END for story in ended)
    assert all(re.fullmatch("[ab]+", story.text) for story in stories)


def test_the_likeliest_of_the_tokens_allowed_is_drawn(bench: LoopBench, model: _core.Model) -> None:
    prompt = tiny_prompt(20)
    story = bench.run(model, prompt, grammar=compiled(LIST), eos=[END], max_tokens=64)
    (logits,) = model.logits([[*prompt, *story.token_ids[:-1]]])
    walk = matcher(LIST)
    for row, token in zip(logits[len(prompt) - 1 :], story.token_ids, strict=True):
        assert token == max(walk.allowed(), key=lambda candidate: (row[candidate], -candidate))
        if token != END:
            walk.accept(token)


def test_the_digest_is_of_the_models_own_logits(bench: LoopBench, model: _core.Model) -> None:
    free = bench.run(model, tiny_prompt(20), max_tokens=1)
    bound = bench.run(model, tiny_prompt(20), max_tokens=1, grammar=compiled("zz"))
    assert bound.text == "z" != free.text
    assert bound.logits_digest == free.logits_digest


def test_a_stop_string_and_the_limit_of_tokens_end_it_sooner(bench: LoopBench, model: _core.Model) -> None:
    stopped = bench.run(model, tiny_prompt(5), grammar=compiled("aaab"), stops=["b"], max_tokens=64)
    assert (stopped.text, stopped.stop_reasons) == ("aaa", ["stop_string"])
    cut = bench.run(model, tiny_prompt(5), grammar=compiled("aaab"), max_tokens=2)
    assert (cut.text, cut.stop_reasons) == ("aa", ["max_tokens"])


def test_where_the_grammar_cannot_be_followed_that_sequence_alone_ends_with_the_reason(
    bench: LoopBench, model: _core.Model
) -> None:
    """A grammar for a larger vocabulary, which goes on with a token that the model does not have."""
    spm = _core.Vocabulary(_core.GgufFile(str(tiny_path(vocabulary="spm", pre=None))))
    foreign = _core.GrammarVocabulary(require_library(), spm, [])
    assert len(spm) > 400 > len(tiny_vocabulary())
    grammar = _core.Grammar(foreign, "lark", 'start: "a" <[400]>', patience_ms=10_000)
    expected = bench.run(model, tiny_prompt(20), max_tokens=20).result
    bench.submit(10, model, tiny_prompt(20), max_tokens=20)
    bench.submit(11, model, tiny_prompt(30), max_tokens=20, grammar=grammar, vocabulary=spm)
    failed = bench.finish(11)
    assert (failed.stop_reasons, failed.text) == (["error"], "a")
    assert "no token of the vocabulary may come next" in failed.error
    assert bench.finish(10).result == expected


def test_every_choice_of_an_answer_follows_the_grammar_by_itself(bench: LoopBench, model: _core.Model) -> None:
    settings = {"grammar": compiled(LIST), "temperature": 2.0, "eos": [END], "max_tokens": 64}
    alone = bench.run(model, tiny_prompt(9), **settings)
    bench.submit(2, model, tiny_prompt(9), choices=5, **settings)  # type: ignore[arg-type]
    stories = bench.finish_choices(2)
    assert all(re.fullmatch(LIST, story.text) for story in stories)
    assert len({story.text for story in stories}) > 1
    assert stories[0].result == alone.result


def test_what_takes_too_much_work_on_the_way_ends_at_the_same_token_every_time(
    bench: LoopBench, model: _core.Model
) -> None:
    grammar = compiled("((a{1,1000}){1,1000}){1,1000}", end_tokens=())
    stories = [bench.run(model, tiny_prompt(5), grammar=grammar, eos=[], max_tokens=500) for _ in range(2)]
    assert stories[0].stop_reasons == ["error"]
    assert "too many" in stories[0].error
    assert re.fullmatch("a+", stories[0].text)
    assert stories[1].result == stories[0].result


# --- determinism -----------------------------------------------------------------------------------------------------


def constrained(seed: int) -> dict[str, object]:
    """The settings of one of several constrained sequences."""
    source, language = [(LIST, "regex"), (SCHEMA, "json_schema"), (ALTERNATIVES, "regex")][seed % 3]
    grammar = compiled(source, language)
    return {"grammar": grammar, "temperature": 1.0, "seed": seed, "eos": [END], "max_tokens": 48}


@pytest.mark.parametrize("table", ALL_TABLES)
def test_the_same_bits_alone_and_beside_others_in_any_chunks_on_any_threads(table: str) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        expected = [bench.run(tiny_model(), tiny_prompt(70, seed), **constrained(seed)).result for seed in range(6)]
    for chunk, threads in ((7, 1), (64, 2), (1000, 3)):
        with LoopBench(tiny_vocabulary()) as bench:
            model = tiny_model(table=table)
            for seed in range(6):
                settings = {"prefill_chunk": chunk, "threads": threads}
                bench.submit(seed, model, tiny_prompt(70, seed), **settings, **constrained(seed))  # type: ignore[arg-type]
                bench.submit(100 + seed, model, tiny_prompt(30, seed), temperature=1.0, **settings)  # type: ignore[arg-type]
            bench.finish(*bench.stories)
            assert [bench.stories[seed].result for seed in range(6)] == expected


def test_the_same_bits_after_a_rest(bench: LoopBench, model: _core.Model) -> None:
    settings = {**constrained(0), "grammar": compiled("(the|and){300}"), "max_tokens": 400}
    expected = bench.run(model, tiny_prompt(20), **settings).result
    bench.submit(2, model, tiny_prompt(20), **settings)  # type: ignore[arg-type]
    for count in (3, 40):
        bench.wait_for_token(2, count)
        if bench.pause(2):
            bench.resume(2)
    assert bench.finish(2).result == expected


def test_a_grammar_is_not_worn_by_those_that_followed_it(bench: LoopBench, model: _core.Model) -> None:
    settings = constrained(1)
    expected = bench.run(model, tiny_prompt(20), **settings).result
    for seed in range(20):
        bench.run(model, tiny_prompt(20, seed), **{**settings, "seed": seed})
    assert bench.run(model, tiny_prompt(20), **settings).result == expected


def test_following_a_grammar_is_an_operation_of_its_own(bench: LoopBench, model: _core.Model) -> None:
    bound = bench.run(model, tiny_prompt(5), op_times=True, **constrained(1))
    free = bench.run(model, tiny_prompt(5), op_times=True)
    assert bound.operation_ns is not None
    assert free.operation_ns is not None
    assert bound.operation_ns["grammar"] > 0
    assert free.operation_ns["grammar"] == 0
