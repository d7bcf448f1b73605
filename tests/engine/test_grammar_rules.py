"""What is refused of a grammar by looking at it, and what a plan says of one."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from engine.planning.grammar_rules import MAX_BYTES, MAX_DEPTH, check_grammar, nesting, plan_grammar
from protocol.errors import GrammarTooDeep, GrammarTooLarge, InvalidGrammar, InvalidPlan
from protocol.grammar import Grammar, GrammarKind, PlanGrammar
from protocol.plan import ExecutionRequest, Stop
from tests.engine.plan_factory import make_plan, make_request

KINDS: tuple[GrammarKind, ...] = get_args(GrammarKind)


def asked(kind: GrammarKind, source: str, eos: bool = True) -> ExecutionRequest:
    return ExecutionRequest(grammar=Grammar(kind=kind, source=source), stop=Stop(eos=eos))


def planned(kind: GrammarKind, source: str) -> PlanGrammar:
    plan = plan_grammar(Grammar(kind=kind, source=source))
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    ("kind", "source", "depth"),
    [
        ("json_schema", '{"items": {"enum": ["[[[[", "\\"{{{"]}}', 3),
        ("json_schema", "true", 0),
        ("regex", r"((a)|\(\(\([(()]+[^])(((]b)", 2),
        ("regex", r"(a)(b)(c)", 1),
        ("lark", 'start: "((((" [a | (b c)] // (((\na: /(x(y)\\/)/', 2),
        ("lark", "start: (a [b /((x))/])", 4),
        ("gbnf", 'root ::= ("((" [(((] (a)) # (((', 2),
    ],
)
def test_depth_counts_brackets_and_nothing_that_looks_like_them(kind: GrammarKind, source: str, depth: int) -> None:
    assert nesting(kind, source) == depth


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_nested_too_deep_is_refused_with_the_limit(kind: GrammarKind) -> None:
    left, right = ("[", "]") if kind == "json_schema" else ("(", ")")
    check_grammar(asked(kind, left * MAX_DEPTH + right * MAX_DEPTH))
    with pytest.raises(GrammarTooDeep, match="65 deep; at most 64") as raised:
        check_grammar(asked(kind, left * (MAX_DEPTH + 1)))
    assert raised.value.params == {"field": "execution.grammar.source", "depth": 65, "maximum": 64}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_too_large_is_refused_with_the_limit(kind: GrammarKind) -> None:
    check_grammar(asked(kind, "é" * (MAX_BYTES // 2)))
    with pytest.raises(GrammarTooLarge, match="65538 bytes; at most 65536") as raised:
        check_grammar(asked(kind, "é" * (MAX_BYTES // 2 + 1)))
    assert (raised.value.params["size_bytes"], raised.value.params["maximum"]) == (65538, 65536)


def test_what_grows_too_large_as_lark_is_refused() -> None:
    source = "root ::= " + '("b" | [c-d]+){2,5} ' * 3000
    check_grammar(asked("gbnf", source))
    with pytest.raises(GrammarTooLarge):
        planned("gbnf", source)


def test_surrogates_are_no_unicode() -> None:
    with pytest.raises(InvalidGrammar, match="no Unicode"):
        check_grammar(asked("regex", "a\ud800"))


def test_an_answer_that_may_not_end_can_follow_no_grammar() -> None:
    with pytest.raises(InvalidPlan, match=r"stop\.eos"):
        check_grammar(asked("regex", "a", eos=False))
    check_grammar(ExecutionRequest(stop=Stop(eos=False)))


def test_without_a_grammar_the_plan_has_none() -> None:
    assert plan_grammar(None) is None
    assert make_plan().grammar is None


def test_a_schema_keeps_its_order_and_says_how_answers_are_spaced() -> None:
    plan = planned("json_schema", ' {"properties": {"b": {}, "a": {"const": "é"}},\n "type": "object"}')
    assert plan.language == "json_schema"
    written = json.loads(plan.text)
    assert written.pop("x-guidance") == {
        "item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False, "json_allowed_escapes": 'nrbtf\\"'
    }  # fmt: skip
    assert list(written["properties"]) == ["b", "a"]
    assert plan.text.isascii()
    assert planned("json_schema", "false").text == "false"


def test_a_schema_may_choose_the_spacing_itself() -> None:
    source = '{"x-guidance": {"whitespace_flexible": true}, "type": "object"}'
    assert json.loads(planned("json_schema", source).text)["x-guidance"] == {"whitespace_flexible": True}


def test_white_space_of_a_schema_changes_its_hash_and_not_what_is_compiled() -> None:
    one, other = planned("json_schema", '{"type":"null"}'), planned("json_schema", '{ "type": "null" }')
    assert one.text == other.text
    assert one.source_hash != other.source_hash


@pytest.mark.parametrize("source", ["{", "{'a': 1}", '{"minimum": NaN}', "", "1" * 5000])
def test_what_is_no_json_is_no_schema(source: str) -> None:
    with pytest.raises(InvalidGrammar, match="no JSON") as raised:
        planned("json_schema", source)
    assert raised.value.params["kind"] == "json_schema"


def test_gbnf_is_compiled_as_lark() -> None:
    plan = planned("gbnf", 'root ::= "yes" | "no" tail\ntail ::= [a-z]+ # a comment')
    assert (plan.kind, plan.language) == ("gbnf", "lark")
    assert '"yes"' in plan.text
    assert "start:" in plan.text


@pytest.mark.parametrize("source", ["root ::= (", "other ::= a", 'root ::= "\\q"', ""])
def test_what_is_no_gbnf_is_refused(source: str) -> None:
    with pytest.raises(InvalidGrammar) as raised:
        planned("gbnf", source)
    assert raised.value.params["kind"] == "gbnf"


def test_a_plan_holds_the_grammar_and_its_fingerprint_depends_on_it() -> None:
    plan = make_plan(make_request(grammar={"kind": "regex", "source": "a|b"}))
    assert plan.grammar is not None
    assert (plan.grammar.kind, plan.grammar.text) == ("regex", "a|b")
    assert plan.grammar.source_hash.startswith("sha256:")
    other = make_plan(make_request(grammar={"kind": "regex", "source": "a|c"}))
    assert len({plan.fingerprint, other.fingerprint, make_plan().fingerprint}) == 3


@pytest.mark.parametrize("pattern", ["\\", "a\\", "\\\\\\", "[a]\\"])
def test_an_expression_that_ends_inside_an_escape_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidGrammar, match="ends inside an escape"):
        check_grammar(asked("regex", pattern))
    schemas: tuple[object, ...] = (
        {"type": "string", "pattern": pattern},
        {"properties": {"a": {"items": {"pattern": pattern}}}},
        {"patternProperties": {pattern: {}}},
    )
    for schema in schemas:
        with pytest.raises(InvalidGrammar, match="ends inside an escape"):
            planned("json_schema", json.dumps(schema))


def test_an_expression_may_end_with_an_escaped_backslash() -> None:
    check_grammar(asked("regex", "a\\\\"))
    planned("json_schema", json.dumps({"type": "string", "pattern": "a\\\\"}))
