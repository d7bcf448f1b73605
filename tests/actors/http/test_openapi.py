"""The OpenAPI document names what is here, and describes it as it is read and written."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from actors.http.routes import ROUTES
from engine.identity.version import ENGINE_VERSION
from protocol.dialects.openapi import openapi
from tests.actors.http.http_stage import HELLO, stage


def document() -> dict[str, Any]:
    return openapi((one.operation for one in ROUTES if not one.absent), ENGINE_VERSION)


def validator(reference: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**reference, "components": document()["components"]})


def test_every_route_is_in_it_and_every_reference_leads_somewhere() -> None:
    made = document()
    assert sum(len(methods) for methods in made["paths"].values()) == sum(not one.absent for one in ROUTES)
    schemas = made["components"]["schemas"]
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert name
    assert set(references(made)) <= {f"#/components/schemas/{name}" for name in schemas}


def references(content: Any) -> list[str]:
    if isinstance(content, dict):
        own = [content["$ref"]] if isinstance(content.get("$ref"), str) else []
        return own + [one for value in content.values() for one in references(value)]
    return [one for value in content for one in references(value)] if isinstance(content, list) else []


async def test_it_is_served_and_answers_are_what_it_says() -> None:
    async with stage() as served, served.client() as client:
        made = (await client.get("/openapi.json")).json()
        answer = (await client.post("/v1/chat/completions", json=HELLO)).json()
    operation = made["paths"]["/v1/chat/completions"]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    asked = operation["requestBody"]["content"]["application/json"]["schema"]
    assert made == document()
    assert list(validator(asked).iter_errors(HELLO)) == []
    assert list(validator(schema).iter_errors(answer)) == []


def test_bodies_of_the_engines_own_messages_are_described_without_what_the_path_says() -> None:
    paths = document()["paths"]

    def body(path: str) -> Draft202012Validator:
        return validator(paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"])

    plan = {"model": "tiny", "threads": 1}
    experiment = {"baseline": plan, "candidates": [plan], "workload": [{"prompt": "x"}]}
    body("/v1/weos/experiments").validate(experiment)
    assert not body("/v1/weos/experiments").is_valid({**experiment, "pairs": 0})
    body("/v1/weos/proposals/{proposal_id}/move").validate({"state": "validated"})
    assert not body("/v1/weos/proposals/{proposal_id}/move").is_valid({"state": "applied"})
    assert not body("/v1/weos/proposals/{proposal_id}/move").is_valid({"state": "rejected", "proposal_id": "x"})
    body("/v1/weos/shutdown").validate({})
    needed = {path: paths[f"/v1/weos/{path}"]["post"]["requestBody"]["required"] for path in ("run", "shutdown")}
    assert needed == {"run": True, "shutdown": False}
