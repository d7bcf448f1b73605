"""A plan is an input: what the engine planned comes back and is carried out as it is, or refused by its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import InvalidPlan, RequestRefused
from protocol.plan import ExecutionPlan, RunRequest
from protocol.requests import Plan
from tests.requirements.execution import from_json, make_request, record_of, run, told
from tests.requirements.llama import NAME
from tests.requirements.test_flow import KNOBS
from tests.tools.command_line import engine_ctl

SAMPLED: dict[str, Any] = {
    "sampling": {"temperature": 0.9, "seed": 7, "top_k": 20, "logit_bias": [{"token_id": 5, "bias": 1.5}]},
    "stop": {"strings": ["zz"]},
    "logprobs": 2,
    "grammar": {"kind": "regex", "source": "[a-z ]+"},
}
TOOLS = [
    {"type": "function", "function": {"name": "sum", "parameters": {"properties": {"a": {"type": "integer"}}}}},
]


def given(plan: ExecutionPlan, prompt: str = "Olá mundo", **fields: Any) -> RunRequest:
    """A request of a plan as a client has it, in JSON."""
    return from_json({"plan": json.loads(plan.model_dump_json()), "prompt": prompt, **fields})


@pytest.mark.parametrize("field", KNOBS)
def test_a_plan_that_comes_back_is_the_same_plan(field: str, client: BlockingClient) -> None:
    planned = client.ask(Plan(request=make_request(**{field: KNOBS[field][0]})))
    assert client.ask(Plan(request=given(planned.plan))).plan_fingerprint == planned.plan_fingerprint


def test_a_plan_that_comes_back_gives_the_same_bits(client: BlockingClient) -> None:
    first = run(client, quantization="q6_k", max_tokens=24, **SAMPLED)
    again = record_of(client, given(first.plan))
    assert again.plan_fingerprint == first.plan_fingerprint
    assert (again.token_ids, again.logits_digest) == (first.token_ids, first.logits_digest)
    assert again.prompt_token_ids == first.prompt_token_ids


def test_a_plan_that_comes_back_with_token_ids_gives_the_same_bits(client: BlockingClient) -> None:
    first = run(client)
    ids = from_json({"plan": json.loads(first.plan.model_dump_json()), "prompt_token_ids": first.prompt_token_ids})
    again = record_of(client, ids)
    assert (again.plan_fingerprint, again.logits_digest) == (first.plan_fingerprint, first.logits_digest)


@pytest.mark.parametrize(
    ("chat", "execution"),
    [
        ({}, {"chat_template": "chatml"}),
        ({}, {"message_control_tokens": True, "grammar": {"kind": "json_schema", "source": '{"type": "integer"}'}}),
        ({"tools": TOOLS}, {"reasoning": {"format": "think", "enabled": False}}),
        ({"tools": TOOLS, "parallel_tool_calls": False}, {"stop": {"strings": ["zz"]}, "tool_format": "hermes"}),
        ({"tools": TOOLS, "tool_choice": "required"}, {}),
        ({"tools": TOOLS, "tool_choice": "none"}, {}),
    ],
)
def test_a_plan_of_a_conversation_comes_back_with_it(
    chat: dict[str, Any], execution: dict[str, Any], client: BlockingClient
) -> None:
    said = {"messages": [{"role": "user", "content": "Olá"}]}
    execution = {**execution, "limits": {"max_tokens": 4}}
    first = record_of(client, from_json({"model": NAME, "execution": execution, **said, **chat}))
    plan = json.loads(first.plan.model_dump_json())
    offered = {"tools": TOOLS} if chat and first.plan.tools else {}
    told_to_template = {"reasoning": {"enabled": execution.get("reasoning", {}).get("enabled")}}
    again = record_of(client, from_json({"plan": plan, "execution": told_to_template, **said, **offered}))
    assert (again.plan_fingerprint, again.logits_digest) == (first.plan_fingerprint, first.logits_digest)
    assert again.prompt_token_ids == first.prompt_token_ids
    by_ids = record_of(client, from_json({"plan": plan, "prompt_token_ids": first.prompt_token_ids}))
    assert (by_ids.plan_fingerprint, by_ids.logits_digest) == (first.plan_fingerprint, first.logits_digest)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"threads": 4096}, "plan.threads"),
        ({"schema_version": 1}, "plan.schema_version"),
        ({"requantized_from": ["Q4_0"]}, "plan.requantized_from"),
        ({"prompt_format": "chatml"}, "plan.prompt_format"),
        ({"stop": {"eos": True, "strings": [], "eos_token_ids": [3]}}, "plan.stop.eos_token_ids"),
        ({"model_ref.content_hash": "sha256:0"}, "plan.model_ref.content_hash"),
        ({"batch.context_length": 1 << 20}, "plan.batch.context_length"),
        (
            {"grammar": {"kind": "regex", "source_hash": "", "language": "json_schema", "text": "{ }"}},
            "plan.grammar.text",
        ),
    ],
)
def test_a_plan_is_refused_by_the_field_that_cannot_be_honoured(
    changes: dict[str, Any], field: str, client: BlockingClient
) -> None:
    content = json.loads(client.ask(Plan(request=make_request())).plan.model_dump_json())
    for name, value in changes.items():
        *groups, last = name.split(".")
        place = content
        for group in groups:
            place = place[group]
        place[last] = value
    with pytest.raises(RequestRefused) as refused:
        record_of(client, from_json({"plan": content, "prompt": "Olá mundo"}))
    assert refused.value.params["field"] == field


def test_a_plan_of_another_build_is_refused_by_it(client: BlockingClient) -> None:
    planned = client.ask(Plan(request=make_request()))
    assert planned.build is not None
    assert record_of(client, given(planned.plan, build=planned.build.id)).plan == planned.plan
    with pytest.raises(InvalidPlan) as refused:
        record_of(client, given(planned.plan, build="another"))
    assert refused.value.params["field"] == "build"


def test_a_plan_is_held_to_the_memory_that_the_operator_set(
    client: BlockingClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = client.ask(Plan(request=make_request())).plan
    path = tmp_path / "PLAN.json"
    path.write_text(plan.model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("ENGINE_MEMORY_MB", "1")
    refused = engine_ctl("run", "--plan", str(path), "--prompt", "Olá mundo")
    assert (refused.exit_code, "limit is 1 MB" in refused.stderr) == (6, True)


def test_a_plan_is_held_to_its_own_limit_of_memory(client: BlockingClient) -> None:
    content = json.loads(client.ask(Plan(request=make_request())).plan.model_dump_json())
    content["limits"]["memory_mb"] = 1
    with pytest.raises(RequestRefused, match="limit is 1 MB"):
        record_of(client, from_json({"plan": content, "prompt": "Olá"}))


@pytest.mark.parametrize(
    ("beside", "told_of"),
    [
        ({"execution": {"threads": 1}}, "execution.threads"),
        ({"execution": {"reasoning": {"max_tokens": 3}}}, "execution.reasoning"),
    ],
)
def test_nothing_is_decided_beside_a_whole_plan(beside: dict[str, Any], told_of: str, client: BlockingClient) -> None:
    plan = client.ask(Plan(request=make_request())).plan
    with pytest.raises(ValueError, match=told_of):
        given(plan, **beside)


def test_a_model_that_is_named_by_neither_is_missed() -> None:
    with pytest.raises(ValueError, match="give a model, or a plan that names one"):
        from_json({"prompt": "Olá"})


def test_what_plan_printed_is_run_by_the_command_line(engine: Path, tmp_path: Path) -> None:
    flags = ("--prompt", "Olá mundo", "--socket", str(engine))
    printed = told("plan", "--model", NAME, "--quant", "q8_0", "--max-tokens", "6", *flags)
    path = tmp_path / "PLAN.json"
    path.write_text(json.dumps(printed), encoding="utf-8")
    record = told("run", "--plan", str(path), *flags)
    assert record["plan_fingerprint"] == printed["plan_fingerprint"]
    assert record["plan"]["quantization"] == "q8_0"
    printed["build"]["id"] = "another"
    path.write_text(json.dumps(printed), encoding="utf-8")
    refused = engine_ctl("run", "--plan", str(path), *flags)
    assert (refused.exit_code, "another" in refused.stderr) == (3, True)


def test_a_flag_beside_a_plan_is_refused(engine: Path, tmp_path: Path) -> None:
    flags = ("--prompt", "Olá mundo", "--socket", str(engine))
    path = tmp_path / "PLAN.json"
    path.write_text(json.dumps(told("plan", "--model", NAME, *flags)), encoding="utf-8")
    refused = engine_ctl("run", "--plan", str(path), "--threads", "1", *flags)
    assert (refused.exit_code, "leave out --threads" in refused.stderr) == (3, True)


def test_an_open_plan_is_filled_in(client: BlockingClient) -> None:
    asked = from_json({"plan": {"model_ref": NAME, "quantization": "q8_0"}, "prompt": "Olá"})
    plan = client.ask(Plan(request=asked)).plan
    assert (plan.model_ref.name, plan.quantization, plan.kv_cache) == (NAME, "q8_0", "f16")


def test_an_open_plan_with_an_unknown_field_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="kernels"):
        from_json({"plan": {"model": NAME, "kernels": "fast"}, "prompt": "Olá"})
