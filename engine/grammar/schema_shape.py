"""Whether the keywords of a JSON Schema hold what keywords of their names hold. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.grammar.schema_numbers import SchemaError
from engine.grammar.schema_walk import subschemas


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


_Shape = tuple[Callable[[Any], bool], str]
_SCHEMA: Final[_Shape] = (_is_schema, "no schema")
_SCHEMAS: Final[_Shape] = (_list_of(_is_schema), "no list of schemas")
_NAMED: Final[_Shape] = (
    lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
    "no object of schemas",
)
_SHAPES: Final[dict[str, _Shape]] = {
    "type": (lambda value: _is_text(value) or _list_of(_is_text)(value), "neither a type's name nor a list of such"),
    "enum": (lambda value: isinstance(value, list), "no list"),
    "required": (_list_of(_is_text), "no list of names"),
    "$ref": (_is_text, "no reference"),
    "items": (lambda value: _is_schema(value) or _list_of(_is_schema)(value), "no schema"),
    **dict.fromkeys(("additionalItems", "additionalProperties"), _SCHEMA),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _SCHEMAS),
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _NAMED),
}


def require_shapes(schema: Any, pointer: str) -> None:
    """Raises SchemaError, which names the keyword and its place, for the schema and all schemas in it."""
    left = [(pointer, schema)]
    while left:
        place, node = left.pop()
        if not _is_schema(node):
            raise SchemaError(f"what is at {place} is no schema")
        for keyword, (holds, words) in _SHAPES.items() if isinstance(node, dict) else ():
            if keyword in node and not holds(node[keyword]):
                raise SchemaError(f"{keyword} at {place} is {words}")
        left += [(f"{place}/{path}", each) for path, each in subschemas(node)]
