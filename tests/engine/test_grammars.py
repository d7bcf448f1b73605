"""Compiling grammars: what is refused, with which error, and that the process is none the worse for it."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from engine.grammar import grammars
from engine.grammar.grammar_sandbox import GrammarSandbox
from engine.grammar.grammars import Grammars, require_library
from engine.grammar.trial_process import Verdict
from engine.planning.grammar_rules import check_grammar, plan_grammar
from protocol.errors import (
    EngineError,
    GrammarTimeout,
    GrammarTooComplex,
    GrammarUnavailable,
    InternalError,
    InvalidGrammar,
)
from protocol.grammar import Grammar, GrammarKind, PlanGrammar
from protocol.plan import ExecutionRequest
from tests.engine.byte_grammar import byte_grammars
from tests.support.tiny_models import tiny_vocabulary

END = 2
LARGE = json.dumps({"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(2200)}})
SHARED = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]} for i in range(40)}
PRODUCT = [{"oneOf": [{"properties": {f"k{i}_{j}": {"type": "integer"}}} for j in range(6)]} for i in range(10)]
HOSTILE: list[tuple[GrammarKind, str]] = [
    ("json_schema", json.dumps({"$defs": {**SHARED, "d40": {"type": "object"}}, "$ref": "#/$defs/d0"})),
    ("json_schema", json.dumps({"allOf": PRODUCT})),
    ("json_schema", json.dumps({"$ref": "#"})),
    ("json_schema", json.dumps({"type": "string", "minLength": 10**9, "maxLength": 10**9})),
    ("json_schema", json.dumps({"type": "array", "items": {"type": "object"}, "minItems": 10**9})),
    ("json_schema", json.dumps({"type": "integer", "multipleOf": 3**30, "minimum": 7, "maximum": 10**300})),
    ("json_schema", json.dumps({"type": "string", "pattern": "^((a+)+b?)+((c|d){1,99}e){1,99}$"})),
    ("json_schema", LARGE),
    ("regex", "((a{1,1000}){1,1000}){1,1000}"),
    ("regex", "(a|b)*a(a|b){5000}"),
    ("regex", "(.*a){60}b(.{0,900}c){0,900}"),
    ("regex", r"(\p{L}{1,500}\s){1,500}(\w|é){1,9999}"),
    ("regex", "x" * 65_000),
    ("regex", "a?" * 30_000),
    ("regex", "(" + "|".join(f".*{number}" for number in range(9000)) + ")"),
    ("lark", "start: T\nT: " + " & ".join(f"/(.*{c}.{{{i + 20}}})+/" for i, c in enumerate("abcdefghijkl"))),
    ("lark", "start: T\nT: ~/(.*a.{40}b.*)/"),
    ("lark", 'start: start start | "a" | start start start |'),
    ("lark", 'start: a*\na: b*\nb: c*\nc: d*\nd: "x"*'),
    ("lark", "start: " + " ".join(['"a"?'] * 9000)),
    ("gbnf", "root ::= " + '("b" | [a-z]+)* ' * 2000),
    ("gbnf", 'root ::= root root | "a"'),
]


@pytest.fixture
def compiler() -> Grammars:
    return Grammars(tiny_vocabulary(), [END])


def plan_of(kind: GrammarKind, source: str) -> PlanGrammar:
    grammar = Grammar(kind=kind, source=source)
    check_grammar(ExecutionRequest(grammar=grammar))
    plan = plan_grammar(grammar)
    assert plan is not None
    return plan


@pytest.mark.parametrize(("kind", "source"), HOSTILE, ids=lambda value: value[:40])
def test_a_hostile_grammar_is_compiled_or_refused_and_the_next_one_is_served(
    kind: GrammarKind, source: str, compiler: Grammars
) -> None:
    refusals: list[EngineError] = []
    try:
        compiler.compile(plan_of(kind, source))
    except (GrammarTooComplex, GrammarTimeout, InvalidGrammar) as refusal:
        refusals.append(refusal)
    assert all(len(refusal.message) < 600 for refusal in refusals)
    assert compiler.compile(plan_of("regex", "a|b")) is not None


def test_what_exceeds_the_librarys_limits_is_too_complex(compiler: Grammars) -> None:
    with pytest.raises(GrammarTooComplex, match="too large") as raised:
        compiler.compile(plan_of("json_schema", json.dumps({"allOf": PRODUCT})))
    assert raised.value.params["kind"] == "json_schema"


@pytest.mark.parametrize(
    ("kind", "source", "reason"),
    [
        ("regex", "(limit", "regex"),
        ("json_schema", '{"uniqueItems": true, "type": "array"}', "uniqueItems"),
        ("json_schema", '{"$ref": "https://example.org/schema"}', "example.org"),
        ("lark", "begin: /a/", "start"),
        ("regex", r"[^\s\S]", "no token of the vocabulary"),
    ],
)
def test_what_cannot_be_followed_is_invalid_and_says_why(
    kind: GrammarKind, source: str, reason: str, compiler: Grammars
) -> None:
    with pytest.raises(InvalidGrammar, match=reason):
        compiler.compile(plan_of(kind, source))


def test_compiling_beyond_the_time_is_refused_and_what_comes_after_is_not(compiler: Grammars) -> None:
    hurried = Grammars(tiny_vocabulary(), [END], compile_ms=1)
    with pytest.raises(GrammarTimeout, match="within 1 ms") as raised:
        hurried.compile(plan_of("json_schema", LARGE))
    assert raised.value.params["maximum_ms"] == 1
    assert compiler.compile(plan_of("regex", "a|b")) is not None


def test_a_grammar_is_compiled_once_and_those_used_last_are_kept(compiler: Grammars) -> None:
    first = plan_of("regex", "a")
    assert compiler.find(first) is None
    kept = compiler.compile(first)
    assert compiler.compile(first) is kept
    assert compiler.find(plan_of("lark", "start: /a/")) is None
    for number in range(40):
        compiler.compile(plan_of("regex", f"b{number}"))
        if number < 10:
            assert compiler.find(first) is kept
    assert compiler.find(first) is None


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, compiler: Grammars
) -> None:
    require_library.cache_clear()
    monkeypatch.setattr(grammars, "find_spec", lambda name: None)
    with pytest.raises(GrammarUnavailable, match=r"not installed; run: pip install llguidance==\d"):
        compiler.compile(plan_of("regex", "a"))
    monkeypatch.undo()
    assert compiler.compile(plan_of("regex", "a")) is not None


def test_a_file_that_is_not_the_library_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: Grammars
) -> None:
    (tmp_path / "_lib.so").write_bytes(b"no library")
    spec = ModuleSpec("llguidance", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    require_library.cache_clear()
    monkeypatch.setattr(grammars, "find_spec", lambda name: spec)
    with pytest.raises(GrammarUnavailable, match="pip install"):
        compiler.compile(plan_of("regex", "a"))
    require_library.cache_clear()


def test_a_vocabulary_without_its_end_token_is_a_fault_of_the_engine() -> None:
    with pytest.raises(InternalError, match="vocabulary"):
        Grammars(tiny_vocabulary(), [10**6]).compile(plan_of("regex", "a"))


def test_a_complaint_has_no_backtrace_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "no such rule\n\nStack backtrace:\n   0: anyhow::error::<impl anyhow::Error>::msg\n   1: llg_new_matcher"
    monkeypatch.setattr(GrammarSandbox, "try_out", lambda *_: Verdict("refused", told))
    with pytest.raises(InvalidGrammar) as refused:
        byte_grammars().compile(PlanGrammar(kind="lark", source_hash="", language="lark", text="start: a"))
    assert refused.value.params["reason"] == "no such rule"
