"""Rules of Lark grammars that never end are refused before anything runs; all others pass."""

from __future__ import annotations

import pytest

from engine.grammar.gbnf import GbnfError
from engine.grammar.gbnf_lark import gbnf_to_lark
from engine.grammar.lark_endings import endless_rule
from engine.planning.grammar_rules import plan_grammar
from protocol.errors import InvalidGrammar
from protocol.grammar import Grammar
from tests.fuzz.gbnf_grammars import random_gbnf

ENDLESS = {
    "start: start": "start comes to an end, line 1, column 1",
    '// "\nstart: "b" | "a" x\n  x: "c" x': "x comes to an end, line 3, column 3",
    'start: x\nx: y "a"\ny: x': "start comes to an end, line 1",
    'start: x? "a"\nx: x': "x comes to an end, line 2",
    'start: ("b" start | start)': "start comes to an end",
    'start: %json {"const": "}"} | b\nb[max_tokens=3]: <[5]> b': "b comes to an end, line 2",
}
ENDING = [
    'start: "a" start?',
    'start: item ("," item)*\nitem: "a" | "(" start ")"',
    'start: item{2,3}\nitem: "a" item{0,4}',
    'start: item~2..3\nitem: "a" item~0..4',
    'start: [start] "a"',
    '%import common.INT\nstart: INT\n  | "a" start // start\n%ignore /\\s+/',
    'start[capture]: foo\nfoo.2: bar\n?bar: "x" # start',
    'start: T\nT: /a{2,3}[/"(]/i | "b"i | "a".."z"',
    'unused: unused\nstart: "a"',
    "start: missing",
    'start: (/["',
]


@pytest.mark.parametrize("source", ENDLESS)
def test_a_rule_that_never_ends_is_refused_by_its_place(source: str) -> None:
    with pytest.raises(InvalidGrammar) as refused:
        plan_grammar(Grammar(kind="lark", source=source))
    assert ENDLESS[source] in str(refused.value.params["reason"])


@pytest.mark.parametrize("source", ENDING)
def test_what_ends_or_is_for_the_library_to_judge_passes(source: str) -> None:
    assert endless_rule(source) == ""


def test_what_is_made_of_gbnf_ends() -> None:
    made = 0
    for seed in range(200):
        try:
            lark = gbnf_to_lark(random_gbnf(seed))
        except GbnfError:
            continue
        made += 1
        assert endless_rule(lark) == ""
    assert made > 50


@pytest.mark.parametrize(
    ("source", "place"), [("root ::= root", "line 1, column 1"), ('a ::= "x" a\n root ::= a "b"', "line 2, column 2")]
)
def test_a_gbnf_root_that_never_ends_is_refused_by_its_place(source: str, place: str) -> None:
    with pytest.raises(GbnfError, match=f"root comes to an end, {place}"):
        gbnf_to_lark(source)
