"""References of a JSON Schema that no value can come to the end of. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.grammar.schema_walk import DEFINITIONS, at, subschemas


def endless_reference(schema: Any) -> str:
    """The first that leads back to itself before any value has ended; empty where there is none."""
    targets = _targets(schema)
    mentions: dict[str, list[str]] = {}
    for reference, target in targets.items():
        for mentioned in _references(target):
            mentions.setdefault(mentioned, []).append(reference)
    ending = mentions.keys() - targets.keys()  # lead nowhere, which the library says
    ahead = list(targets)
    while ahead:
        reference = ahead.pop()
        if reference not in ending and _ends(targets[reference], ending):
            ending.add(reference)
            ahead += mentions.get(reference, ())
    return next((reference for reference in targets if reference not in ending), "")


def _targets(schema: Any) -> dict[str, Any]:
    """All that is referred to in this document, from what is in use."""
    targets: dict[str, Any] = {}
    ahead = [schema]
    while ahead:
        for reference in _references(ahead.pop()):
            if reference not in targets:
                try:
                    targets[reference] = at(reference, schema)
                except (LookupError, TypeError):
                    continue  # the library names it
                ahead.append(targets[reference])
    return targets


def _references(schema: Any) -> Iterator[str]:
    """References to parts of the document, those of definitions left out."""
    ahead = [schema]
    while ahead:
        node = ahead.pop()
        reference = node.get("$ref") if isinstance(node, dict) else None
        if isinstance(reference, str) and reference.startswith("#"):
            yield reference
        ahead += (each for path, each in subschemas(node) if not path.startswith(DEFINITIONS))


def _ends(node: Any, ending: set[str]) -> bool:
    """Whether some value of it ends, where those of ``ending`` do."""
    if not isinstance(node, dict):
        return True
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#") and reference not in ending:
        return False
    if not all(_ends(each, ending) for each in _listed(node, "allOf")):
        return False
    for keyword in ("anyOf", "oneOf"):
        options = _listed(node, keyword)
        if options and not any(_ends(each, ending) for each in options):
            return False
    match node.get("type"):
        case "object":
            return all(_ends(each, ending) for each in _required(node))
        case "array":
            return all(_ends(each, ending) for each in _least_items(node))
        case _:
            return True


def _required(node: dict[str, Any]) -> list[Any]:
    properties = node.get("properties")
    names = _listed(node, "required")
    return [properties[name] for name in names if name in properties] if isinstance(properties, dict) else []


def _least_items(node: dict[str, Any]) -> list[Any]:
    least = node.get("minItems", 0)
    prefix = _listed(node, "prefixItems")
    if not isinstance(least, int):
        return []
    return [*prefix[:least], *([node["items"]] if least > len(prefix) and "items" in node else [])]


def _listed(node: dict[str, Any], keyword: str) -> list[Any]:
    found = node.get(keyword)
    return found if isinstance(found, list) else []
