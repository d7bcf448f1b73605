"""What a request asks of a grammar, checked and made part of a plan. Nothing is compiled here."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from engine.grammar.gbnf import GbnfError, token_names
from engine.grammar.gbnf_lark import gbnf_to_lark
from engine.grammar.lark_endings import endless_rule
from engine.grammar.schema_grammar import schema_grammar
from engine.grammar.schema_numbers import SchemaError
from engine.grammar.schema_walk import subschemas
from protocol.errors import GrammarTooDeep, GrammarTooLarge, InvalidGrammar, InvalidPlan
from protocol.grammar import Grammar, GrammarKind, PlanGrammar
from protocol.plan import ExecutionRequest

MAX_BYTES: Final = 65_536
"""Limit of a grammar's UTF-8: what compiling may take grows with its square."""
MAX_DEPTH: Final = 64
"""Limit of nested brackets. Parsers go down as deep as these do."""
_FIELD: Final = "execution.grammar.source"
_REGEX: Final = r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
_STRING: Final = r'"(?:\\.|[^"\\])*"'
_BRACKETS: Final[Mapping[GrammarKind, re.Pattern[str]]] = {
    "json_schema": re.compile(rf"{_STRING}|(?P<open>[\[{{])|(?P<close>[\]}}])", re.DOTALL),
    "regex": re.compile(rf"{_REGEX}|(?P<open>\()|(?P<close>\))", re.DOTALL),
    "lark": re.compile(
        rf"//[^\n]*|{_STRING}|/(?P<regex>(?:\\.|[^/\\\n])+)/|(?P<open>[\[({{])|(?P<close>[\])}}])", re.DOTALL
    ),
    "gbnf": re.compile(rf"\#[^\n]*|{_STRING}|{_REGEX}|(?P<open>\()|(?P<close>\))", re.DOTALL),
}
"""What is no bracket though it looks like one, and brackets."""


def check_grammar(execution: ExecutionRequest) -> None:
    """Refuse what can be refused by looking at the text.

    Raises:
        InvalidPlan: an answer that must follow a grammar and may not end where the grammar lets it.
        InvalidGrammar: the source is no Unicode.
        GrammarTooLarge, GrammarTooDeep: beyond the limits named.
    """
    grammar = execution.grammar
    if grammar is None:
        return
    if not execution.stop.eos:
        raise InvalidPlan(
            "a grammar needs stop.eos, which is off: by its end token the model says that an answer which could go on "
            "is complete",
            field="execution.stop.eos",
        )
    try:
        _check_size(grammar.source)
    except UnicodeEncodeError as error:
        raise _invalid(grammar.kind, f"it is no Unicode: {error.reason} at {error.start}") from error
    _check_depth(grammar.kind, grammar.source)
    if grammar.kind == "regex":
        _check_escapes(grammar.kind, grammar.source)


def plan_grammar(grammar: Grammar | None, token_id: Callable[[str], int | None] = lambda _: None) -> PlanGrammar | None:
    """The plan's part of a grammar that has been checked. ``token_id``: the only token of a text.

    Raises:
        InvalidGrammar: it is no JSON, or no GBNF, has integers that cannot be held exactly, or rules that never end.
        GrammarTooLarge: as Lark a grammar is beyond the limit.
    """
    if grammar is None:
        return None
    source_hash = "sha256:" + hashlib.sha256(grammar.source.encode()).hexdigest()
    if grammar.kind == "json_schema":
        language, text = _read_schema(grammar.source)
        return PlanGrammar(kind="json_schema", source_hash=source_hash, language=language, text=text)
    if grammar.kind == "gbnf":
        text = _as_lark(grammar.source, token_id)
        _check_size(text)
        return PlanGrammar(kind="gbnf", source_hash=source_hash, language="lark", text=text)
    if grammar.kind == "lark" and (endless := endless_rule(grammar.source)):
        raise _invalid("lark", endless)
    return PlanGrammar(kind=grammar.kind, source_hash=source_hash, language=grammar.kind, text=grammar.source)


def hold_lark(source: str, field: str) -> PlanGrammar:
    """The plan's part of a grammar that the engine wrote itself, of what ``field`` of a request holds.

    Raises GrammarTooLarge, GrammarTooDeep: beyond the limits named.
    """
    _check_size(source, field)
    _check_depth("lark", source, field)
    source_hash = "sha256:" + hashlib.sha256(source.encode()).hexdigest()
    return PlanGrammar(kind="lark", source_hash=source_hash, language="lark", text=source)


def nesting(kind: GrammarKind, source: str) -> int:
    """How deep brackets are nested, strings, comments and classes of characters left out."""
    depth = deepest = 0
    for found in _BRACKETS[kind].finditer(source):
        match found.lastgroup:
            case "open":
                depth += 1
                deepest = max(deepest, depth)
            case "close":
                depth = max(0, depth - 1)
            case "regex":
                deepest = max(deepest, depth + nesting("regex", found["regex"]))
    return deepest


def _check_depth(kind: GrammarKind, source: str, field: str = _FIELD) -> None:
    depth = nesting(kind, source)
    if depth > MAX_DEPTH:
        raise GrammarTooDeep(
            f"the grammar nests brackets {depth} deep; at most {MAX_DEPTH} are allowed",
            field=field,
            depth=depth,
            maximum=MAX_DEPTH,
        )


def _check_escapes(kind: GrammarKind, pattern: str) -> None:
    """The library would take what stands behind the expression in its own text for what is escaped."""
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise _invalid(kind, f"the regular expression …{pattern[-40:]!r} ends inside an escape")


def _check_patterns(schema: Any) -> None:
    """The same, of all expressions in a schema."""
    if isinstance(schema, dict):
        for pattern in (schema.get("pattern"), *_keys(schema.get("patternProperties"))):
            if isinstance(pattern, str):
                _check_escapes("json_schema", pattern)
        for _, each in subschemas(schema):
            _check_patterns(each)


def _keys(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, dict) else ()


def _check_size(text: str, field: str = _FIELD) -> None:
    size = len(text.encode())
    if size > MAX_BYTES:
        raise GrammarTooLarge(
            f"the grammar has {size} bytes; at most {MAX_BYTES} are allowed",
            field=field,
            size_bytes=size,
            maximum=MAX_BYTES,
        )


def _read_schema(source: str) -> tuple[Literal["json_schema", "lark"], str]:
    try:
        schema = json.loads(source, parse_constant=_refuse_constant, parse_float=_finite)
    except ValueError as error:
        raise _invalid("json_schema", f"it is no JSON: {error}") from error
    _check_patterns(schema)
    try:
        language, text = schema_grammar(schema)
    except SchemaError as error:
        raise _invalid("json_schema", str(error)) from error
    _check_size(text)
    return language, text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is beyond the range of a double")
    return number


def _as_lark(source: str, token_id: Callable[[str], int | None]) -> str:
    named = ((name, token_id(name)) for name in sorted(token_names(source)))
    try:
        return gbnf_to_lark(source, tuple((name, found) for name, found in named if found is not None))
    except GbnfError as error:
        raise _invalid("gbnf", str(error)) from error


def _invalid(kind: GrammarKind, reason: str) -> InvalidGrammar:
    return InvalidGrammar(f"the grammar cannot be used: {reason}", field=_FIELD, kind=kind, reason=reason)
