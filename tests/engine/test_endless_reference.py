"""References that no value comes to the end of."""

from __future__ import annotations

from typing import Any

import pytest

from engine.grammar.endless_reference import endless_reference

LIST: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}


@pytest.mark.parametrize(
    ("schema", "reference"),
    [
        ({"$ref": "#"}, "#"),
        ({**LIST, "required": ["next"]}, "#"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "#/$defs/a"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "#"),
        ({"allOf": [{"type": "object"}, {"$ref": "#"}]}, "#"),
        (LIST, ""),
        ({"anyOf": [{"type": "null"}, {"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1}]}, ""),
        ({"type": "array", "items": {"$ref": "#"}}, ""),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, ""),
        ({"$ref": "#/nowhere"}, ""),
        (True, ""),
    ],
)
def test_a_reference_that_leads_back_before_an_end_is_found(schema: Any, reference: str) -> None:
    assert endless_reference(schema) == reference


def needing(part: Any, **definitions: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": part}, "required": ["a"], "$defs": definitions}


X: dict[str, Any] = {"$ref": "#/$defs/x"}
Y: dict[str, Any] = {"$ref": "#/$defs/y"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        needing(X, x=X),
        needing(X, x=Y, y=X),
        needing({"type": "array", "items": X}, x={"allOf": [{"type": "string"}, Y]}, y=X),
        needing({"anyOf": [{"type": "null"}, X]}, x={"anyOf": [X]}),
        needing(X, x={"oneOf": [Y]}, y={"description": "the same", **X}),
    ],
)
def test_a_way_back_without_an_end_is_found(schema: dict[str, Any]) -> None:
    assert endless_reference(schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        needing({"type": "integer"}, x=X),  # nothing refers to it
        needing({"const": X}, x=X),
        needing(X, x={"type": "object", "properties": {"next": X}}),
        needing(X, x={"type": "array", "items": X}),
        needing(X, x={"anyOf": [{"type": "null"}, {"type": "array", "items": X}]}),
        needing(X, x=Y, y={"type": "string"}),
        needing({"$ref": "#/$defs/nothing"}),
        needing({"$ref": "http://example.org/x"}),
        needing({"$ref": 1, "allOf": "x", "anyOf": {}}),
    ],
)
def test_other_references_are_none_of_these(schema: Any) -> None:
    assert endless_reference(schema) == ""


def test_long_ways_are_gone_once() -> None:
    way = {f"x{at}": {"$ref": f"#/$defs/x{at + 1}"} for at in range(3000)}
    assert endless_reference({"$ref": "#/$defs/x0", "$defs": {**way, "x3000": {}}}) == ""
    definitions = {f"x{at}": {"$ref": f"#/$defs/x{(at + 1) % 3000}"} for at in range(3000)}
    assert endless_reference({"$ref": "#/$defs/x0", "$defs": definitions})
