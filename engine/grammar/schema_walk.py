"""The parts of a JSON Schema that are schemas themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

Node = Mapping[str, Any]

ANNOTATIONS: Final = frozenset(
    {
        *("title", "description", "default", "examples", "$comment", "$id", "id", "$schema", "$anchor", "$defs"),
        *("definitions", "x-guidance", "readOnly", "writeOnly", "deprecated", "contentMediaType", "contentEncoding"),
    }
)
"""Keywords that hold no answer."""
DEFINITIONS: Final = ("$defs/", "definitions/")
"""Beginnings of the paths of what is there to be referred to."""
_MAPS: Final = ("properties", "patternProperties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLE: Final = ("items", "additionalItems", "additionalProperties")


def subschemas(node: Any) -> Iterator[tuple[str, Any]]:
    """Each with its path from the node, such as ``properties/a``."""
    if not isinstance(node, dict):
        return
    for keyword in _MAPS:
        if isinstance(named := node.get(keyword), dict):
            yield from ((f"{keyword}/{escaped(name)}", each) for name, each in named.items())
    for keyword in _LISTS:
        if isinstance(listed := node.get(keyword), list):
            yield from ((f"{keyword}/{index}", each) for index, each in enumerate(listed))
    yield from ((keyword, node[keyword]) for keyword in _SINGLE if isinstance(node.get(keyword), dict | bool))


def with_subschemas(node: Any, change: Any) -> Any:
    """A copy of the node whose subschemas are what ``change`` makes of them."""
    if not isinstance(node, dict):
        return node
    copy = dict(node)
    for keyword in _MAPS:
        if isinstance(named := node.get(keyword), dict):
            copy[keyword] = {name: change(each) for name, each in named.items()}
    for keyword in _LISTS:
        if isinstance(listed := node.get(keyword), list):
            copy[keyword] = [change(each) for each in listed]
    for keyword in _SINGLE:
        if isinstance(node.get(keyword), dict | bool):
            copy[keyword] = change(node[keyword])
    return copy


def escaped(name: str) -> str:
    """A name in a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def at(pointer: str, root: Any) -> Any:
    """What a pointer of this document (``#/…``) points at. Raises LookupError."""
    found = root
    for step in unquote(pointer[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) and name.isdecimal() else found[name]
    return found
