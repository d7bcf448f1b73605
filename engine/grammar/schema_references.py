"""References in a JSON Schema that lead back to themselves, with no value between them that could end. Pure.

The library follows them for ever, or holds an answer to nothing: what then comes next is no token at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

_NO_SCHEMAS: Final = frozenset({"$defs", "definitions", "const", "enum", "default", "examples", "x-guidance"})
_ALTERNATIVES: Final = ("anyOf", "oneOf")


def endless_reference(schema: Any) -> str:
    """The first reference that leads back to itself, as a sentence about it; empty where there is none."""
    same: dict[str, list[str]] = {}
    ahead: list[tuple[str, Any]] = [("#", schema)]
    while ahead:
        pointer, node = ahead.pop()
        if pointer in same:
            continue
        same[pointer] = [] if not isinstance(node, dict) else [at for at, _ in _same_value(pointer, node, schema)]
        ahead += _parts(pointer, node, schema)
    try:
        TopologicalSorter(same).prepare()
    except CycleError as error:
        return f"$ref at {error.args[1][0]} leads back to itself"
    return ""


def value_at(pointer: Any, root: Any) -> Any:
    """What a reference of a schema to a part of itself names; ``None`` where nothing is."""
    if not isinstance(pointer, str) or not pointer.startswith("#"):
        return None
    found = root
    for name in pointer[1:].split("/")[1:]:
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _parts(pointer: str, node: Any, root: Any) -> Iterator[tuple[str, Any]]:
    """Everything that may be reached from a node."""
    if isinstance(node, list):
        yield from ((f"{pointer}/{index}", each) for index, each in enumerate(node))
    if isinstance(node, dict):
        yield from ((f"{pointer}/{name}", each) for name, each in node.items() if name not in _NO_SCHEMAS)
        yield from _same_value(pointer, node, root)


def _same_value(pointer: str, node: dict[str, Any], root: Any) -> Iterator[tuple[str, Any]]:
    """Schemas that the very value which the node describes must follow."""
    if isinstance(node.get("$ref"), str):
        yield node["$ref"], value_at(node["$ref"], root)
    if isinstance(node.get("allOf"), list):
        yield from ((f"{pointer}/allOf/{index}", each) for index, each in enumerate(node["allOf"]))
    for name in _ALTERNATIVES:
        options = node.get(name)
        if isinstance(options, list) and len(options) == 1:
            yield f"{pointer}/{name}/0", options[0]
