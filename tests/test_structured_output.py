"""SmolLM2 held to random JSON Schemas: what it ends is valid by another library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio

from actors.system import open_system, running
from benchmarks.support.random_schemas import random_schema
from engine.config import EngineConfig
from protocol.chat import ChatMessage
from protocol.client import Client
from protocol.grammar import Grammar
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from protocol.sampling import Sampling
from tests.actors.engine_factory import record_of
from tests.support.real_models import smollm2

pytestmark = pytest.mark.models
SEEDS = range(300, 312)


def request(seed: int) -> RunRequest:
    schema = json.dumps(random_schema(seed))
    execution = ExecutionRequest(
        grammar=Grammar(kind="json_schema", source=schema),
        sampling=Sampling(temperature=0.8, seed=seed),
        limits=Limits(max_tokens=400),
    )
    messages = (ChatMessage(role="user", content=f"Write one example of JSON for this schema: {schema}"),)
    return RunRequest(model=str(smollm2()), messages=messages, execution=execution)


CAT: dict[str, Any] = {
    "type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"], "additionalProperties": False,
}  # fmt: skip
"""The first example of the documentation."""


def asked(schema: dict[str, Any], prompt: str) -> RunRequest:
    execution = ExecutionRequest(
        grammar=Grammar(kind="json_schema", source=json.dumps(schema)), limits=Limits(max_tokens=100)
    )
    return RunRequest(model=str(smollm2()), messages=(ChatMessage(role="user", content=prompt),), execution=execution)


@pytest.mark.parametrize(("schema", "prompt"), [(CAT, "Invent a cat."), ({}, "x"), ({}, "Invent a cat.")])
async def test_examples_end_in_json(schema: dict[str, Any], prompt: str, tmp_path: Path) -> None:
    config = EngineConfig(tmp_path, tmp_path / "cache", tmp_path, powercap_root=tmp_path / "no-powercap")
    system = open_system(config)
    async with running(system), system.client() as client:
        record = await record_of(client, asked(schema, prompt))
    assert record.stop_reason == "eos"
    jsonschema.validate(json.loads(record.result), schema)


async def together(client: Client) -> dict[int, ExecutionRecord]:
    records: dict[int, ExecutionRecord] = {}

    async def ask(seed: int) -> None:
        records[seed] = await record_of(client, request(seed))

    async with trio.open_nursery() as nursery:
        for seed in SEEDS:
            nursery.start_soon(ask, seed)
    return records


async def test_what_has_ended_is_valid_and_the_same_alone(tmp_path: Path) -> None:
    config = EngineConfig(tmp_path, tmp_path / "cache", tmp_path, powercap_root=tmp_path / "no-powercap")
    system = open_system(config)
    async with running(system), system.client() as client:
        records = await together(client)
        again = await record_of(client, request(SEEDS[0]))
    ended = {seed: record for seed, record in records.items() if record.stop_reason == "eos"}
    assert len(ended) >= len(SEEDS) * 2 // 3
    for seed, record in ended.items():
        validator = jsonschema.Draft202012Validator(random_schema(seed), format_checker=jsonschema.FormatChecker())
        validator.validate(json.loads(record.result))
    first = records[SEEDS[0]]
    assert (again.token_ids, again.logits_digest) == (first.token_ids, first.logits_digest)
