"""Ranges of integers in a JSON Schema that the grammar library cannot hold. Pure.

The library keeps bounds as doubles and makes 64-bit integers of them. Where both ends of a range come to -2**63, whose
sign cannot be turned, it calls itself until its stack is full. Found here are ranges that are sure to be compiled as
they stand; where other keywords may narrow them or do away with them, the sandbox finds out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from engine.grammar.schema_references import value_at

_END: Final = -(2.0**63)
_LEAST: Final = -(2**63) + 1024
"""The next double above the end."""
_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "$comment", "$id", "$schema", "$defs", "definitions", "x-guidance"}
)
_ANNOTATED: Final = ("title", "description", "default", "examples", "$comment")
"""Keywords whose values are no schemas."""
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_COMBINING: Final = frozenset({*_ALTERNATIVES, "allOf", "$ref", "const", "enum"})
_NUMERIC: Final = ("const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_EXACT: Final = 2**53
"""Every integer up to this is a double."""
_Part = tuple[str, Any]
"""A JSON pointer and what is there."""


def unbearable_range(schema: Any) -> str:
    """The first range that cannot be held, as a sentence about it; empty where there is none."""
    for pointer, node in _parts(schema):
        if found := _value(node) or _range(node):
            return f"{found} at {pointer} is beyond what can be held: integers go from {_LEAST} up"
    return ""


def inexact_integer(schema: Any) -> str:
    """The first integer whose double may be another one, as a sentence about it; empty where there is none."""
    ahead: list[_Part] = [("#", schema)]
    while ahead:
        pointer, node = ahead.pop()
        if isinstance(node, list):
            ahead += [(f"{pointer}/{index}", each) for index, each in enumerate(node)]
        if not isinstance(node, dict):
            continue
        for keyword in _NUMERIC:
            if lost := next((one for one in _integers(node.get(keyword)) if abs(one) > _EXACT), None):
                return f"{keyword} {lost} at {pointer} cannot be held exactly: integers go to 2^53, {_EXACT}"
        ahead += [(f"{pointer}/{name}", each) for name, each in node.items() if name not in (*_NUMERIC, *_ANNOTATED)]
    return ""


def _integers(value: Any) -> Iterator[int]:
    """All in a value, however deep."""
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if _is_integer(one):
            yield one
        elif isinstance(one, list | dict):
            ahead += one if isinstance(one, list) else one.values()


def _parts(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    ahead: list[_Part] = [("#", schema)]
    seen: set[str] = set()
    while ahead:
        pointer, node = ahead.pop()
        if isinstance(node, dict) and pointer not in seen:
            seen.add(pointer)
            yield pointer, node
            ahead += reversed(list(_children(pointer, node, schema)))


def _children(pointer: str, node: dict[str, Any], root: Any) -> Iterator[_Part]:
    """What is compiled for itself, whatever the node's other keywords say."""
    keywords = node.keys() - _ANNOTATIONS
    if keywords == {"$ref"}:
        yield node["$ref"], value_at(node["$ref"], root)
    for name in _ALTERNATIVES:
        if keywords == {name} and isinstance(node[name], list):
            yield from ((f"{pointer}/{name}/{index}", option) for index, option in enumerate(node[name]))
    if keywords & _COMBINING:
        return
    properties = node.get("properties")
    if _allows(node, "object") and isinstance(properties, dict):
        yield from ((f"{pointer}/properties/{name}", value) for name, value in properties.items())
    if _allows(node, "array"):
        yield f"{pointer}/items", node.get("items")


def _value(node: dict[str, Any]) -> str:
    keywords = node.keys() - _ANNOTATIONS - {"type"}
    if keywords not in ({"const"}, {"enum"}) or not (_allows(node, "integer") or _allows(node, "number")):
        return ""
    (keyword,) = keywords
    values = [node["const"]] if keyword == "const" else node["enum"]
    if not isinstance(values, list):
        return ""
    lost = (value for value in values if _is_integer(value) and value >= -(2**63) and _double(value) <= _END)
    return next((f"{keyword} {value}" for value in lost), "")


def _range(node: dict[str, Any]) -> str:
    if "type" not in node or not _allows(node, "integer") or node.keys() & _COMBINING:
        return ""
    lowest = max(_bounds(node, "minimum", "exclusiveMinimum"), default=None)
    highest = min(_bounds(node, "maximum", "exclusiveMaximum", sign=-1), default=None)
    if lowest is None or highest is None or highest.value > _END:
        return ""
    holds = lowest.value < highest.value or (lowest.value == highest.value and not (lowest.open or highest.open))
    return f"{highest.keyword} {json.dumps(node[highest.keyword])}" if holds else ""


class _Bound(NamedTuple):
    value: float
    tightness: int
    """Among equal values the greater is the tighter lower bound, and the smaller the tighter upper one."""
    open: bool
    keyword: str


def _bounds(node: dict[str, Any], closed: str, open_: str, sign: int = 1) -> list[_Bound]:
    """The boolean of old drafts opens the other keyword's bound."""
    bounds: list[_Bound] = []
    if _is_number(node.get(closed)):
        opened = node.get(open_) is True
        bounds.append(_Bound(_double(node[closed]), sign * opened, opened, closed))
    if _is_number(node.get(open_)):
        bounds.append(_Bound(_double(node[open_]), sign, open=True, keyword=open_))
    return bounds


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _allows(node: dict[str, Any], kind: str) -> bool:
    types = node.get("type", kind)
    return kind in types if isinstance(types, list) else kind == types


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_integer(value)
