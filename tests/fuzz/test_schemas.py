"""Whatever a JSON Schema says, its answers are valid for it, or it is refused before the first token.

``ENGINE_FUZZ_SCHEMAS`` is how many schemas are tried, ``ENGINE_FUZZ_SEED`` which.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest

from engine import _core
from engine.grammar.grammars import Grammars
from engine.planning.grammar_rules import check_grammar, plan_grammar
from protocol.errors import GrammarTimeout, GrammarTooComplex, InvalidGrammar, RequestRefused
from protocol.grammar import Grammar, PlanGrammar
from protocol.plan import ExecutionRequest
from tests.engine.byte_grammar import byte_grammars, random_text
from tests.fuzz.schemas import suite_schema

_SCHEMAS = int(os.environ.get("ENGINE_FUZZ_SCHEMAS", "150"))
_FIRST = int(os.environ.get("ENGINE_FUZZ_SEED", "0")) * 1_000_000
_ANSWERS = 4
_CHECKED = ("email", "ipv4", "ipv6", "uuid")
"""Formats in which the checker is no stricter than their standards: it takes ``12:00:00z`` for no time."""
_MOST_BYTES = 300


def planned(schema: Any) -> PlanGrammar:
    grammar = Grammar(kind="json_schema", source=json.dumps(schema))
    check_grammar(ExecutionRequest(grammar=grammar))
    plan = plan_grammar(grammar)
    assert plan is not None
    return plan


def held(schema: Any, compiler: Grammars) -> _core.Grammar | RequestRefused:
    try:
        return compiler.compile(planned(schema))
    except (InvalidGrammar, GrammarTooComplex, GrammarTimeout) as refusal:
        return refusal


def decimal(text: str | bytes) -> Any:
    """Numbers are decimals: in doubles 0.6 is no multiple of 0.1."""
    return json.loads(text, parse_float=_decimal_number)


def _decimal_number(digits: str) -> float | Decimal:
    """``1.0`` is an integer. Of numbers with exponents no multiple is asked."""
    if "e" in digits.lower():
        return float(digits)
    number = Decimal(digits)
    return int(number) if number == number.to_integral_value() else number


def answers(grammar: _core.Grammar, seed: int) -> Iterator[bytes | None]:
    """``None``: cut off."""
    for walk in range(_ANSWERS):
        yield random_text(grammar, random.Random(f"{seed}/{walk}"), _MOST_BYTES)


def test_answers_are_valid_for_their_schema_or_it_is_refused_at_once() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    compiler, outcomes, refusals = byte_grammars(), Counter[str](), Counter[str]()
    for seed in range(_FIRST, _FIRST + _SCHEMAS):
        schema = suite_schema(seed)
        grammar = held(schema, compiler)
        if isinstance(grammar, RequestRefused):
            outcomes[grammar.code] += 1
            refusals[str(grammar.params["reason"])[:160]] += 1
            assert "crashes" not in str(grammar), (seed, schema)
            continue
        checker = jsonschema.FormatChecker(_CHECKED)
        validator = jsonschema.Draft202012Validator(decimal(json.dumps(schema)), format_checker=checker)
        for text in answers(grammar, seed):
            outcomes["cut off" if text is None else "whole"] += 1
            with localcontext(Context(prec=1000)):
                assert text is None or validator.is_valid(decimal(text)), (seed, schema, text)
    refused = "".join(f"\n{count}: {reason}" for reason, count in refusals.most_common(30))
    print(f"\n{_SCHEMAS} schemas: {dict(outcomes)}{refused}")  # noqa: T201  seen with -s
    assert outcomes["whole"] > _SCHEMAS
