"""Numbers that a JSON Schema names, exactly. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Final

from engine.grammar.number_range import Bound, NumberRange
from engine.grammar.schema_walk import Node, subschemas

NUMERIC: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
"""Keywords that hold numbers."""
SAFE_INTEGER: Final = 2**53 - 1
"""Up to this an integer is a double that is no other integer's."""


class SchemaError(Exception):
    """A schema cannot be held; in words of the schema."""


def holds_large_numbers(schema: Any) -> bool:
    """Whether the library cannot be left alone with it."""
    ahead = [schema]
    while ahead:
        node = ahead.pop()
        if is_large(node):
            return True
        ahead += (each for _, each in subschemas(node))
    return False


def is_large(node: Any) -> bool:
    """Whether the node's own keywords have a number beyond what doubles are sure to hold."""
    if not isinstance(node, dict):
        return False
    if any(_beyond(node.get(keyword)) for keyword in NUMERIC):
        return True
    return _any_large(node.get("const")) or _any_large(node.get("enum"))


def _any_large(value: Any) -> bool:
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if _beyond(one):
            return True
        if isinstance(one, list | dict):
            ahead += one if isinstance(one, list) else one.values()
    return False


def _beyond(value: Any) -> bool:
    return is_number(value) and abs(value) > SAFE_INTEGER


def number_range(node: Node, pointer: str) -> NumberRange:
    """What its numeric keywords say. Raises SchemaError."""
    given: dict[str, Any] = {}
    for keyword in NUMERIC:
        value = node.get(keyword)
        if value is not None and is_number(value):
            given[keyword] = fraction_of(value)
        elif value is not None and not (keyword.startswith("exclusive") and isinstance(value, bool)):
            raise SchemaError(f"{keyword} at {pointer} is no number")
    step = given.get("multipleOf")
    if step == 0:
        raise SchemaError(f"multipleOf at {pointer} is 0")
    declared = node.get("type")
    declared = declared if isinstance(declared, list) else [declared]
    return _bounded(node, given) & NumberRange(
        integer="integer" in declared and "number" not in declared,
        multiple_of=None if step is None else abs(step),
    )


def _bounded(node: Node, given: Mapping[str, Fraction]) -> NumberRange:
    """The boolean of old drafts opens the other keyword's bound."""
    span = NumberRange()
    if "minimum" in given:
        span &= NumberRange(low=Bound(given["minimum"], node.get("exclusiveMinimum") is True))
    if "exclusiveMinimum" in given:
        span &= NumberRange(low=Bound(given["exclusiveMinimum"], open=True))
    if "maximum" in given:
        span &= NumberRange(high=Bound(given["maximum"], node.get("exclusiveMaximum") is True))
    if "exclusiveMaximum" in given:
        span &= NumberRange(high=Bound(given["exclusiveMaximum"], open=True))
    return span


def is_number(value: Any) -> bool:
    """No boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def fraction_of(value: float) -> Fraction:
    """The number that its shortest digits write. Raises SchemaError."""
    if isinstance(value, float) and not isfinite(value):
        raise SchemaError(f"{value} is beyond the range of a double")
    return Fraction(value) if isinstance(value, int) else Fraction(Decimal(repr(value)))
