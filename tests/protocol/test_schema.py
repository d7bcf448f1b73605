"""The published JSON Schemas say what the types say."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from protocol.schema import SCHEMA_NAMES, make_schema, published_schema


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_the_published_schemas_are_up_to_date(name: str) -> None:
    assert published_schema(name) == json.loads(make_schema(name)), "run make schemas"


def test_nothing_else_is_published() -> None:
    published = {path.name for path in (files("protocol") / "schemas").iterdir()}
    assert published == {f"{name}.json" for name in SCHEMA_NAMES}


def test_an_unknown_name_has_no_schema() -> None:
    with pytest.raises(FileNotFoundError):
        published_schema("nothing")


def test_schemas_are_as_closed_as_the_types() -> None:
    request = published_schema("request")
    assert request["additionalProperties"] is False
    assert request["anyOf"] == [{"required": [name]} for name in ("model", "plan", "plan_name")]
    assert request["$defs"]["Limits"]["properties"]["max_tokens"]["minimum"] == 1


def test_messages_are_told_apart_by_their_type() -> None:
    for name, message in (("client_messages", "Run"), ("engine_messages", "Finished")):
        schema = published_schema(name)
        assert schema["discriminator"]["propertyName"] == "type"
        assert schema["$defs"][message]["properties"]["type"]["const"] == message
