"""The search space as the published schema tells it: whole, and true of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from engine.batch_key import WeightsKey
from protocol.plan import ExecutionRequest
from protocol.schema import published_schema
from protocol.search_space import ANNOTATION, COSTS, EFFECTS

SCHEMA = published_schema("plan")


def fields(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a plan that has an annotation or should have, read as a client of another make would."""
    for name, inner in node["properties"].items():
        group = SCHEMA["$defs"][inner["$ref"].rpartition("/")[2]] if "$ref" in inner else None
        if ANNOTATION in inner or group is None:
            yield prefix + name, inner
        else:
            yield from fields(group, f"{prefix}{name}.")


FIELDS: dict[str, dict[str, Any]] = {name: node.get(ANNOTATION, {}) for name, node in fields(SCHEMA)}
RANGES = {name: told for name, told in FIELDS.items() if "scale" in told}


def request_with(dotted: str, value: Any) -> ExecutionRequest:
    for part in reversed(dotted.split(".")[1:]):
        value = {part: value}
    return ExecutionRequest.model_validate_json(json.dumps(value))


def test_every_field_says_what_it_changes_and_what_a_try_costs() -> None:
    assert [name for name, told in FIELDS.items() if not told] == []
    assert {told["effect"] for told in FIELDS.values()} == set(EFFECTS)
    assert {told["cost"] for told in FIELDS.values()} == set(COSTS)
    assert SCHEMA[ANNOTATION] == {"effect": EFFECTS, "cost": COSTS}


def test_what_no_request_sets_is_told_to_be_fixed() -> None:
    for name, told in FIELDS.items():
        assert ("request_field" in told) or told["effect"] == "fixed", name


def test_weights_are_loaded_for_what_their_key_holds_and_nothing_else() -> None:
    costly = {name for name, told in FIELDS.items() if told["cost"] != "none"}
    guessing = {"speculation.model", "speculation.quantization"}
    assert costly == (set(WeightsKey.model_fields) - {"content_hash"}) | guessing


@pytest.mark.parametrize("name", RANGES)
def test_a_range_is_what_requests_may_have(name: str) -> None:
    told = RANGES[name]
    field = told["request_field"]
    lowest: Any = told.get("minimum", told.get("above"))
    for value in (told.get("minimum"), told.get("maximum")):
        assert value is None or request_with(field, value)
    outside = [lowest if "above" in told else lowest - 1]
    if not told.get("maximum_is_default"):
        outside.append(told["maximum"] + 1)
    for value in outside:
        with pytest.raises(ValidationError):
            request_with(field, value)


@pytest.mark.parametrize("name", [name for name, told in FIELDS.items() if "values" in told])
def test_every_value_can_be_asked_for(name: str) -> None:
    for value in FIELDS[name]["values"]:
        assert request_with(FIELDS[name]["request_field"], value)
