"""Whatever a grammar says, it is compiled and can be followed, or is refused; this process is none the worse.

``ENGINE_FUZZ_SECONDS`` is how long grammars are tried; without it some hundred are. Another ``ENGINE_FUZZ_SEED`` gives
others.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

from engine import _core, _core_tests
from engine.grammar.grammars import Grammars
from engine.planning.grammar_rules import check_grammar, plan_grammar
from protocol.errors import RequestRefused
from protocol.grammar import Grammar
from protocol.plan import ExecutionRequest
from tests.fuzz.grammars import random_grammar
from tests.support.tiny_models import tiny_vocabulary

END = 2
_GRAMMARS = 150
_TOKENS = 20


def seeds() -> range:
    first = int(os.environ.get("ENGINE_FUZZ_SEED", "0")) * 1_000_000
    return range(first, first + (_GRAMMARS if "ENGINE_FUZZ_SECONDS" not in os.environ else 1_000_000))


def try_grammar(grammar: Grammar, compiler: Grammars, draw: random.Random) -> str:
    try:
        check_grammar(ExecutionRequest(grammar=grammar))
        plan = plan_grammar(grammar)
        assert plan is not None
        matcher = _core_tests.GrammarMatcher(compiler.compile(plan))
    except RequestRefused as refusal:
        return refusal.code
    try:
        follow(matcher, draw)
    except _core.GrammarError:
        return "ended"
    return "followed"


def follow(matcher: _core_tests.GrammarMatcher, draw: random.Random) -> None:
    for _ in range(_TOKENS):
        tokens = [token for token in matcher.allowed() if token != END]
        if not tokens:
            return
        matcher.accept(draw.choice(tokens))
        if matcher.finished:
            return


def test_grammars_of_extreme_numbers_are_followed_or_refused() -> None:
    compiler = Grammars(tiny_vocabulary(), [END])
    end = time.monotonic() + float(os.environ.get("ENGINE_FUZZ_SECONDS", "600"))
    outcomes: Counter[str] = Counter()
    for seed in seeds():
        if time.monotonic() > end:
            break
        outcomes[try_grammar(random_grammar(seed), compiler, random.Random(seed))] += 1
    print(f"\n{outcomes.total()} grammars: {dict(outcomes)}")  # noqa: T201  seen with -s
    assert outcomes["followed"] > 0
    assert outcomes["invalid_grammar"] > 0


def test_equal_seeds_give_equal_grammars() -> None:
    assert [random_grammar(seed) for seed in range(50)] == [random_grammar(seed) for seed in range(50)]
    assert len({random_grammar(seed).source for seed in range(50)}) > 40
