"""Grammars followed byte by byte, on a vocabulary of all bytes."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from engine import _core, _core_tests
from engine.grammar.grammars import Grammars, require_library
from protocol.grammar import PlanGrammar

END = 256
_PATIENCE_MS = 2000


@cache
def byte_vocabulary() -> _core.Vocabulary:
    return _core.Vocabulary([*(bytes([byte]) for byte in range(256)), b""])


@cache
def _tokens() -> _core.GrammarVocabulary:
    return _core.GrammarVocabulary(require_library(), byte_vocabulary(), [END])


def byte_grammars() -> Grammars:
    return Grammars(byte_vocabulary(), [END])


def compiled(grammar: PlanGrammar) -> _core.Grammar:
    """Without a trial: only what cannot crash the library."""
    return _core.Grammar(_tokens(), grammar.language, grammar.text, patience_ms=_PATIENCE_MS)


def complete(matcher: _core_tests.GrammarMatcher) -> bool:
    """Whether the text may end here."""
    return matcher.finished or END in matcher.allowed()


def accepts(grammar: _core.Grammar, text: str) -> bool:
    """Whether the whole text is one that the grammar allows."""
    matcher = _core_tests.GrammarMatcher(grammar)
    for byte in text.encode():
        if matcher.finished or byte not in matcher.allowed():
            return False
        matcher.accept(byte)
    return complete(matcher)


def random_text(grammar: _core.Grammar, draw: random.Random, most_bytes: int) -> bytes | None:
    """A text that the grammar allows, ending as soon as it may with a chance of a half; ``None`` where it takes more.

    Raises GrammarError: no byte can follow.
    """
    matcher, text = _core_tests.GrammarMatcher(grammar), bytearray()
    while len(text) < most_bytes:
        if matcher.finished:
            return bytes(text)
        allowed = matcher.allowed()
        if END in allowed and (len(allowed) == 1 or draw.random() < 0.5):
            return bytes(text)
        byte = draw.choice([each for each in allowed if each != END])
        matcher.accept(byte)
        text.append(byte)
    return bytes(text) if complete(matcher) else None


def random_answers(grammar: _core.Grammar, count: int) -> list[Any]:
    """JSON values, those cut off left out."""
    texts = [random_text(grammar, random.Random(seed), 400) for seed in range(count)]
    return [json.loads(text) for text in texts if text is not None]
