"""JSON Schemas as the grammar library is to read them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from engine.grammar.endless_reference import endless_reference
from engine.grammar.exact_schema import schema_rules
from engine.grammar.finite_pattern import finite_texts
from engine.grammar.schema_numbers import SAFE_INTEGER, SchemaError, holds_large_numbers, is_number
from engine.grammar.schema_walk import ANNOTATIONS, subschemas, with_subschemas

_SPACING: Final = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
"""The white space of JSON on one line. With any white space allowed a small model may write nothing else."""
_ESCAPES: Final = {"json_allowed_escapes": 'nrbtf\\"'}
"""Without ``u`` each character has one spelling: ``"\\u0061"`` would be a second ``"a"``, which the library takes for
an additional property beside it."""
_CONTROL: Final = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]|\\[xucPp0]")
"""What only ``u`` can spell, and what of a pattern may stand for it."""
_SAID: Final = ("title", "description", "$comment")
_ANY: Final = r"""
start: any
any: "null" | "true" | "false" | NUMBER | STRING | array | object
array: "[" (any (", " any)*)? "]"
object: "{" (STRING ": " any (", " STRING ": " any)*)? "}"
NUMBER: /-?(0|[1-9][0-9]{0,16})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,3})?/
STRING: /"([^"\\\x00-\x1F\x7F]|\\[nrbtf\\"])*"/
""".strip()
"""Any value. Its numbers have the digits that every double can be written with, and no more."""
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NEAR: Final = 2**52
"""Behind a bound beyond this there may be no integer that all readers of JSON hold."""
_NAMES: Final = 20
"""Names that a pattern may have to become properties."""


def schema_grammar(schema: Any) -> tuple[Literal["json_schema", "lark"], str]:
    """What it is written in, and the text: JSON without white space, in which the white space of answers is written
    out; or Lark, where the schema has numbers that the library cannot hold.

    Raises SchemaError.
    """
    schema = _prepared(schema)
    if holds_large_numbers(schema):
        return "lark", "\n".join(_exact_rules(schema, "start"))
    if schema is True or (isinstance(schema, dict) and not schema.keys() - (ANNOTATIONS - {"x-guidance"})):
        return "lark", _ANY
    return "json_schema", _json_text(schema)


def lark_rules(schema: Any, name: str) -> list[str]:
    """Rules of a Lark grammar, of which ``name`` is the schema's. Raises SchemaError."""
    schema = _prepared(schema)
    return _exact_rules(schema, name) if holds_large_numbers(schema) else [f"{name}: %json {_json_text(schema)}"]


def _json_text(schema: Any) -> str:
    schema = _with_bounded_integers(schema)
    if isinstance(schema, dict):
        schema = {"x-guidance": _options(schema), **schema}
    return json.dumps(schema, separators=(",", ":"))


def _exact_rules(schema: Any, name: str) -> list[str]:
    if "x-guidance" in schema:
        raise SchemaError("integers beyond 2^53 are held, but not beside an x-guidance of the schema's own")
    return schema_rules(schema, name, _options(schema))


def _options(schema: Any) -> dict[str, Any]:
    return _SPACING if any(_CONTROL.search(text) for text in _texts(schema)) else {**_SPACING, **_ESCAPES}


def _texts(schema: Any) -> Iterator[str]:
    """All that answers may have to spell; what is only said about them is left out."""
    ahead = [(schema, False)]
    while ahead:
        one, literal = ahead.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            ahead += ((each, literal) for each in one)
        elif isinstance(one, dict):
            for key, each in one.items():
                if literal or key not in _SAID or not isinstance(each, str):
                    yield key
                    ahead.append((each, literal or key in ("const", "enum")))


def _prepared(schema: Any) -> Any:
    """Without what the library reads otherwise than JSON Schema does. Raises SchemaError."""
    if reference := endless_reference(schema):
        raise SchemaError(f"$ref {reference} leads back to itself before a value has ended")
    _refuse_counts(schema)
    return _with_named_properties(schema)


def _refuse_counts(schema: Any) -> None:
    """The names of additional properties may repeat, and an object has each once."""
    ahead: list[tuple[str, Any]] = [("#", schema)]
    while ahead:
        pointer, node = ahead.pop()
        if isinstance(node, dict) and isinstance(least := node.get("minProperties"), int):
            required = node.get("required")
            names = {one for one in required if isinstance(one, str)} if isinstance(required, list) else set()
            if least - len(names) > 1:
                raise SchemaError(
                    f"minProperties {least} at {pointer} is held up to one more than the properties that are required"
                )
        ahead += ((f"{pointer}/{path}", each) for path, each in subschemas(node))


def _with_named_properties(node: Any) -> Any:
    """``patternProperties`` that name a few properties become these: beside an equal one in ``properties`` the library
    expects another property of the pattern, which there is not."""
    node = with_subschemas(node, _with_named_properties)
    patterns = node.get("patternProperties") if isinstance(node, dict) else None
    if not isinstance(patterns, dict) or not isinstance(node.get("properties", {}), dict):
        return node
    finite = {pattern: names for pattern in patterns if (names := finite_texts(pattern, _NAMES)) is not None}
    if not finite:
        return node
    properties = dict(node.get("properties", {}))
    for pattern, names in finite.items():
        for name in sorted(names):
            own = properties.get(name, True)
            properties[name] = patterns[pattern] if own is True else {"allOf": [own, patterns[pattern]]}
    rest = {pattern: each for pattern, each in patterns.items() if pattern not in finite}
    kept = {name: value for name, value in node.items() if name != "patternProperties"}
    return {**kept, "properties": properties, **({"patternProperties": rest} if rest else {})}


def _with_bounded_integers(node: Any) -> Any:
    """Integers without a bound get that of what all readers of JSON hold: a small model goes on with digits for as long
    as it may. For schemas that name none beyond it."""
    node = with_subschemas(node, _with_bounded_integers)
    if not isinstance(node, dict) or node.keys() & {"const", "enum"}:
        return node
    kinds = node.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "integer" not in kinds or "number" in kinds:
        return node
    bounds = [node[name] for name in _BOUNDS if is_number(node.get(name))]  # of others the library says what is wrong
    if any(abs(bound) > _NEAR for bound in bounds):
        return node
    low, high = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
    added = {} if node.keys() & low else {"minimum": -SAFE_INTEGER}
    return {**node, **added, **({} if node.keys() & high else {"maximum": SAFE_INTEGER})}
