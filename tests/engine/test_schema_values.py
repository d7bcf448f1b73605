"""A schema whose keywords have values of any type is planned or refused, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from engine.planning.grammar_rules import plan_grammar
from protocol.errors import RequestRefused
from protocol.grammar import Grammar

LARGE = 2**60
KEYWORDS = (
    *("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("pattern", "format", "minItems", "maxItems", "items", "prefixItems", "additionalItems", "properties", "required"),
    *("additionalProperties", "patternProperties", "minProperties", "maxProperties", "enum", "const", "anyOf", "oneOf"),
    *("allOf", "not", "if", "$ref", "$defs", "definitions", "x-guidance", "nullable", "title", "default", "contains"),
    *("uniqueItems", "propertyNames", "dependentRequired", "$id", "$anchor", "$schema"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 3, -1, 2.5, LARGE, 10**400, "x", "", "(", "#", "#/$defs/a", "integer"),
    *([], [None], [{}], [[]], [1], ["a"], ["a", "a"], ["integer", {}], [{"type": "integer"}]),
    *({}, {"a": 1}, {"a": None}, {"a": {"type": "integer"}}, {"(": {}}, {"^a$": 3}),
)
SCHEMAS: tuple[dict[str, Any], ...] = (
    {},
    *({"type": kind} for kind in ("integer", "number", "string", "array", "object")),
    {"type": "integer", "minimum": LARGE},
    {"type": "object", "patternProperties": {"^a$": {}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "patternProperties": {"^a$": {}}},
    {"type": "object", "properties": {"a": {"const": LARGE}}, "required": ["a"]},
    {"type": "array", "items": {"minimum": LARGE, "type": "integer"}},
    {"anyOf": [{"minimum": LARGE, "type": "integer"}, {"type": "string"}]},
    {"type": "object", "minProperties": 2},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer", "maximum": LARGE}}},
)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_of_any_value_is_planned_or_refused(keyword: str) -> None:
    for schema in SCHEMAS:
        for value in VALUES:
            with suppress(RequestRefused):
                plan_grammar(Grammar(kind="json_schema", source=json.dumps({**schema, keyword: value})))
