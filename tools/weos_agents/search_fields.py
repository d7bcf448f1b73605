"""What can be varied, read from the schema of plans that engines publish: no field is known here by name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

from protocol.errors import InvalidRequest
from protocol.value import Value

_STEP: Final = 4
"""From value to value of a logarithmic range."""


_Schema = Mapping[str, Any]


class SearchField(Value):
    """A field of the plan and the values worth a try, in their order."""

    name: str
    """Dotted, as the plan has it."""
    request_field: str
    """The field's path in a request."""
    same_bits: bool
    """Whether every value gives the same answers, bit by bit."""
    cost: str
    values: tuple[Any, ...]


def search_fields(
    schema: Mapping[str, Any], plan: Mapping[str, Any], capabilities: Collection[str], *, with_bits: bool
) -> tuple[SearchField, ...]:
    """The fields that decide speed (and, ``with_bits``, arithmetic) and have more than one value on this machine.

    Left out are those that show under other traffic than an experiment's, which repeats its inputs one by one.

    ``schema``: the published one of plans. ``plan``: that of a request that leaves all open, in its JSON form.
    ``capabilities``: ``Welcome.capabilities``.
    """
    effects = {"speed", "bits"} if with_bits else {"speed"}
    found = []
    for name, told in _annotated(schema, schema, ""):
        if told["effect"] not in effects or told.get("depends_on_traffic"):
            continue
        values = _values(told, _at(plan, name), capabilities)
        if len(values) > 1:
            field = SearchField(
                name=name,
                request_field=told["request_field"],
                same_bits=told["effect"] == "speed",
                cost=told["cost"],
                values=values,
            )
            found.append(field)
    return tuple(found)


def bit_fields(schema: Mapping[str, Any]) -> frozenset[str]:
    """The fields of a request that change arithmetic."""
    return frozenset(told["request_field"] for _, told in _annotated(schema, schema, "") if told["effect"] == "bits")


def chosen_fields(fields: tuple[SearchField, ...], names: Collection[str]) -> tuple[SearchField, ...]:
    """Those of these names. Raises InvalidRequest: there is none of a name."""
    if unknown := sorted(set(names) - {field.name for field in fields}):
        known = ", ".join(field.name for field in fields)
        raise InvalidRequest(f"{', '.join(unknown)} cannot be varied here; there is {known}", field="fields")
    return tuple(field for field in fields if field.name in names)


def _annotated(
    root: Mapping[str, Any], group: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in group["properties"].items():
        if "x-search" in node:
            yield prefix + name, node["x-search"]
        elif "$ref" in node:
            yield from _annotated(root, root["$defs"][node["$ref"].rpartition("/")[2]], f"{prefix}{name}.")


def _at(plan: Mapping[str, Any], name: str) -> Any:
    value: Any = plan
    for part in name.split("."):
        value = value[part]
    return value


def _values(told: Mapping[str, Any], usual: Any, capabilities: Collection[str]) -> tuple[Any, ...]:
    """The values of a field, the usual one among them."""
    if "values" in told:
        kind = told.get("capability")
        return tuple(value for value in told["values"] if kind is None or f"{kind}:{value}" in capabilities)
    if "scale" not in told:
        return ()
    lowest, most = told.get("minimum", 1), usual if told.get("maximum_is_default") else told["maximum"]
    if told["scale"] == "linear":
        return tuple(range(lowest, most + 1))
    steps = takewhile(lambda value: value < most, (max(lowest, 1) * _STEP**power for power in range(64)))
    return tuple(sorted({lowest, *steps, most, usual}))
