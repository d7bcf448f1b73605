"""Schemas with integers beyond doubles hold exactly what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.planning.grammar_rules import plan_grammar
from protocol.errors import GrammarTooLarge, InvalidGrammar
from protocol.grammar import Grammar, PlanGrammar
from tests.engine.byte_grammar import accepts, compiled, random_answers

INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
UINT64 = {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}
NODE = {
    "$defs": {"node": {"type": "object", "properties": {"id": INT64, "next": {"$ref": "#/$defs/node"}},
                       "required": ["id"], "additionalProperties": False}},
    "$ref": "#/$defs/node",
}  # fmt: skip


def planned(schema: Any) -> PlanGrammar:
    source = schema if isinstance(schema, str) else json.dumps(schema)
    plan = plan_grammar(Grammar(kind="json_schema", source=source))
    assert plan is not None
    return plan


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"const": 2**53 + 1}, [2**53 + 1], [2**53, 2**53 + 2]),
        ({"enum": ["x", [2**60 + 1], None]}, ["x", [2**60 + 1], None], [[2**60], 2**60 + 1]),
        (INT64, [-(2**63), -1, 0, 2**63 - 1], [-(2**63) - 1, 2**63]),
        (UINT64, [0, 2**53 + 1, 2**64 - 1], [-1, 2**64]),
        ({"type": "integer", "exclusiveMinimum": 2**53, "exclusiveMaximum": 2**53 + 2}, [2**53 + 1],
         [2**53, 2**53 + 2]),
        ({"type": "integer", "minimum": -1e19, "maximum": -1e19}, [-(10**19)], [-(10**19) + 1]),
        ({"minimum": 2**60 + 1}, [2**60 + 1, "x", None, [1], {"a": 1}], [2**60, 5]),
        ({"type": "number", "maximum": 2**60 + 1}, [2**60 + 1, 0.5, -1e3], [2**60 + 2]),
        ({"type": "integer", "minimum": 0, "maximum": 2**64, "multipleOf": 8}, [0, 8, 2**64], [4, 2**64 - 4]),
        ({"type": "integer", "multipleOf": 2**60, "minimum": 1, "maximum": 2**62}, [2**60, 3 * 2**60], [0, 1]),
        ({"allOf": [INT64, {"minimum": 0}]}, [0, 2**63 - 1], [-1, 2**63]),
        ({"$ref": "#/$defs/i", "$defs": {"i": INT64}, "minimum": 5}, [5, 2**63 - 1], [4]),
        ({"anyOf": [INT64, {"type": "object"}]}, [1, {"a": {"b": 1}}], [2**63, "x"]),
        ({"oneOf": [UINT64, {"type": "null"}]}, [2**64 - 1, None], [-1]),
        ({"type": ["integer", "null"], "maximum": 2**63}, [2**63, None], [2**63 + 1, "x"]),
        ({"type": "array", "items": UINT64, "minItems": 1, "maxItems": 3}, [[0], [1, 2, 2**64 - 1]],
         [[], [-1], [1, 2, 3, 4]]),
        ({"type": "array", "prefixItems": [{"type": "string"}, UINT64], "items": {"type": "null"}},
         [[], ["a"], ["a", 1], ["a", 2**64 - 1, None, None]], [["a", -1], [1], ["a", 1, 2]]),
        ({"type": "array", "prefixItems": [UINT64, UINT64], "items": False, "minItems": 1}, [[1], [1, 2]],
         [[], [1, 2, 3]]),
        (NODE, [{"id": 5}, {"id": 2**63 - 1, "next": {"id": -(2**63)}}], [{"id": 2**63}, {}, {"id": 1, "x": 1}]),
        ({"type": "object", "properties": {"a": INT64, "b": {"type": "string"}}},
         [{}, {"a": 1}, {"b": "x"}, {"a": 1, "b": "x", "c": [1]}, {"c": {"d": 1}}],
         [{"a": "x"}, {"b": 1}, {"a": 2**63}]),
        ({"type": "object", "required": ["a"], "additionalProperties": UINT64}, [{"a": 1}, {"a": 1, "z": 2**64 - 1}],
         [{}, {"z": 1}, {"a": -1}]),
        ({"properties": {"a": {"const": {"deep": 2**70}}, "b": {"$ref": "#/$defs/s"}},
          "$defs": {"s": {"type": "string"}}},
         [5, {"a": {"deep": 2**70}}, {"b": "x"}], [{"a": {"deep": 2**70 + 1}}, {"b": 1}]),
    ],
    ids=lambda value: json.dumps(value)[:60],
)  # fmt: skip
def test_large_integers_are_held_exactly(schema: Any, inside: list[Any], outside: list[Any]) -> None:
    grammar = compiled(planned(schema))
    for value in inside:
        assert accepts(grammar, json.dumps(value)), value
    for value in outside:
        assert not accepts(grammar, json.dumps(value)), value


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "multipleOf": 7, "maximum": 2**60}, r"multiples of 7 beyond 2\^53 .* \(at #\)"),
        ({"properties": {"a": {"maxProperties": 3, "additionalProperties": INT64}}},
         "maxProperties .* at #/properties/a"),
        ({"oneOf": [INT64, UINT64]}, "at # they have not"),
        ({"allOf": [{"properties": {"a": INT64}}, {"required": ["b"]}]}, "at #/allOf/0"),
        ({"type": "integer", "minimum": 2**60, "maximum": 2**59}, "allows nothing"),
        ({"type": "integer", "minimum": -1e19, "maximum": -1e19, "exclusiveMaximum": True}, "allows nothing"),
        ({"anyOf": [{"$ref": "#/$defs/none"}, INT64]}, "leads nowhere"),
        ({"x-guidance": {}, "const": 2**60}, "x-guidance"),
        ('{"type": "number", "minimum": -1e400}', "-1e400 is beyond the range of a double"),
        ({"minProperties": 3, "required": ["a"]}, "minProperties 3 at #"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_exactly_is_named_with_its_place(schema: Any, words: str) -> None:
    with pytest.raises(InvalidGrammar, match=words) as refused:
        planned(schema)
    assert refused.value.params["field"] == "execution.grammar.source"


WRONG: dict[str, tuple[Any, ...]] = {
    "type": (16, [[]], {"a": 1}, None),
    "enum": (1, "ab", {"a": 1}),
    "required": ("ab", [[]], 7),
    "properties": (5, "ab", {"a": 7}, []),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), (16, "ab", [1])),
    "items": (16, "ab", [None]),
    "additionalProperties": (16, "ab", []),
    "$ref": (16, [], "#/examples"),
    "minItems": ("1", -1, 1.5),
}


@pytest.mark.parametrize(("keyword", "value"), [(keyword, value) for keyword in WRONG for value in WRONG[keyword]])
def test_a_keyword_that_holds_something_else_is_refused_by_its_place(keyword: str, value: Any) -> None:
    large: dict[str, Any] = {"minimum": 2**60, keyword: value}
    schema: dict[str, Any] = {"examples": 3, "type": "array", "prefixItems": [{"const": 2**60}, large]}
    if keyword in ("prefixItems", "minItems"):
        schema[keyword] = value if keyword == "minItems" else [{"const": 2**60, keyword: value}]

    with pytest.raises(InvalidGrammar, match="#"):
        planned(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"const": 2**53 - 1},
        {"minimum": 1 - 2**53, "maximum": 2**53 - 1},
        {"const": True},
        {"enum": 5},
    ],
)
def test_schemas_without_large_integers_are_left_to_the_library(schema: Any) -> None:
    assert planned(schema).language == "json_schema"


def test_a_pattern_beside_an_equal_property_asks_for_no_second_one() -> None:
    schema = {
        "type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False,
        "patternProperties": {"^(a|b)$": {"type": ["boolean", "null"]}},
    }  # fmt: skip
    grammar = compiled(planned(schema))
    assert accepts(grammar, '{"a": true}')
    assert accepts(grammar, '{"a": true, "b": null}')
    assert not accepts(grammar, '{"a": null}')
    assert {json.dumps(answer) for answer in random_answers(grammar, 60)} == {
        f'{{"a": {a}{b}}}' for a in ("true", "false") for b in ("", *(f', "b": {v}' for v in ("true", "false", "null")))
    }


def test_a_property_has_one_spelling() -> None:
    grammar = compiled(planned({"type": "object", "properties": {"a": {"type": "null"}}}))
    assert accepts(grammar, '{"a": null}')
    assert not accepts(grammar, r'{"\u0061": 1}')
    assert accepts(compiled(planned({"const": "\u0001"})), r'"\u0001"')


def test_every_character_of_a_constant_is_written() -> None:
    for character in map(chr, [*range(0x180), 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0x1F600]):
        assert random_answers(compiled(planned({"const": character})), 1) == [character], ascii(character)


@pytest.mark.parametrize("schema", [{}, True, {"title": "x"}])
def test_any_value_is_allowed_and_its_numbers_end(schema: Any) -> None:
    grammar = compiled(planned(schema))
    for text in ("1", '"x"', "null", "[]", "{}", '{"a": [1, {"b": 2.5e3}]}', "-1.7976931348623157e+308", "5E-324"):
        assert accepts(grammar, text)
    assert not accepts(grammar, "1" * 18)
    assert not accepts(grammar, "0." + "1" * 18)


def test_an_integer_without_bounds_is_one_that_all_readers_hold() -> None:
    grammar = compiled(planned({"type": ["integer", "null"], "minimum": 0}))
    for text, allowed in ((str(2**53 - 1), True), (str(2**53), False), ("0", True), ("-1", False), ("null", True)):
        assert accepts(grammar, text) == allowed
    beyond = compiled(planned({"type": "integer", "exclusiveMinimum": 2**53 - 1}))
    assert accepts(beyond, "9" * 60)
    both = compiled(planned({"allOf": [{"type": "integer"}, {"minimum": 2**53}]}))
    assert accepts(both, "9" * 60)


def test_the_largest_double_is_a_bound() -> None:
    grammar = compiled(
        planned({"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308})
    )
    largest = int("17976931348623157" + "0" * 292)
    for value, inside in ((largest, True), (largest + 1, False), (-largest, True), (-largest - 1, False), (0, True)):
        assert accepts(grammar, str(value)) == inside


SHARED = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]} for i in range(40)}
CHAIN = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(1500)}
HOSTILE = [
    {"$ref": "#/$defs/d0", "$defs": {**SHARED, "d40": INT64}},
    {"$ref": "#/$defs/d0", "$defs": {**CHAIN, "d1500": INT64}},
    {"properties": {f"p{i}": INT64 for i in range(300)}, "additionalProperties": {"$ref": "#/$defs/d"},
     "$defs": {"d": {"type": "array", "items": {"enum": ["x" * 30_000]}}}},
    {"prefixItems": [{"$ref": "#/$defs/d"}] * 200, "items": INT64, "$defs": {"d": {"enum": ["x" * 30_000]}}},
    {"type": "integer", "minimum": 10**4000, "multipleOf": 10**4000, "maximum": 10**4003},
]  # fmt: skip


@pytest.mark.parametrize("schema", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_made_to_be_expensive_is_refused(schema: Any) -> None:
    with pytest.raises((InvalidGrammar, GrammarTooLarge)):
        planned(schema)
