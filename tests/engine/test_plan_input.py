"""A plan that comes back to another machine, another operator, or after its model has changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.planning.planner import Planner
from protocol.errors import InvalidPlan, OutOfMemoryBudget, RequestRefused, UnsupportedBackend
from protocol.plan import RunRequest
from tests.engine.operation_stage import OperationStage
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    write_tiny_model(tmp_path / "tiny.gguf")
    return OperationStage(tmp_path).planner


def test_a_backend_that_is_not_here_is_named(planner: Planner) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    here = dataclasses.replace(planner.machine, kernel_tables={"cpu_avx2": "no AVX2", "reference": ""})
    with pytest.raises(UnsupportedBackend, match="no AVX2") as refused:
        dataclasses.replace(planner, machine=here).prepare(
            RunRequest(plan=plan.model_copy(update={"backend": "cpu_avx2"}), prompt="once")
        )
    assert refused.value.params["field"] == "plan.backend"


def test_the_operators_memory_bounds_a_plan_that_allows_itself_more(planner: Planner) -> None:
    asked = RunRequest.model_validate(
        {"model": "tiny", "prompt": "once " * 50, "execution": {"limits": {"memory_mb": 1000}, "prefill_chunk": 4096}}
    )
    plan = planner.prepare(asked).plan
    small = dataclasses.replace(planner, config=dataclasses.replace(planner.config, memory_mb=1))
    with pytest.raises(OutOfMemoryBudget, match="the limit is 1 MB"):
        small.prepare(RunRequest(plan=plan, prompt=asked.prompt))


def test_a_model_whose_content_has_changed_is_named_by_its_hash(planner: Planner, tmp_path: Path) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    write_tiny_model(tmp_path / "other.gguf", seed=8)
    with pytest.raises(InvalidPlan, match="has sha256:") as refused:
        planner.prepare(RunRequest(plan=plan, model="other", prompt="once"))
    assert refused.value.params["field"] == "plan.model_ref.content_hash"


def test_a_file_by_another_name_is_the_same_model(planner: Planner, tmp_path: Path) -> None:
    plan = planner.prepare(RunRequest(model="tiny", prompt="once")).plan
    write_tiny_model(tmp_path / "copy.gguf")
    taken = planner.prepare(RunRequest(plan=plan, model="copy", prompt="once"))
    assert taken.fingerprint == plan.fingerprint
    assert taken.plan.model_ref.name == "copy"


@pytest.mark.parametrize(
    "execution",
    [
        {"sampling": {"temperature": 0.7, "min_p": 0.1, "order": ["min_p", "temperature"], "seed": 9}},
        {"sampling": {"temperature": 1.0, "mirostat_tau": 5.0}},
        {"sampling": {"dry_multiplier": 0.8, "dry_breakers": ["a"]}},
        {"limits": {"max_tokens": 3, "deadline_ms": 5000, "memory_mb": 900}, "stop": {"eos": False}},
        {"logprobs": True},
        {"logprobs": 4},
        {"grammar": {"kind": "json_schema", "source": '{"enum": [1.5, "é"], "x-guidance": {}}'}},
        {"grammar": {"kind": "lark", "source": 'start: "a" | /b+/'}},
        {"grammar": {"kind": "gbnf", "source": 'root ::= "a" | "b"'}},
        {"grammar": {"kind": "regex", "source": "a|b"}},
        {"priority": -3, "nominal_watts": 7.5, "prefill_beside_decode": 3, "scheduler_policy": "latency"},
    ],
    ids=str,
)
def test_whatever_a_request_asked_for_its_plan_comes_back_as_it_was(
    execution: dict[str, Any], planner: Planner
) -> None:
    asked = RunRequest.model_validate_json(json.dumps({"model": "tiny", "prompt": "once", "execution": execution}))
    plan = planner.prepare(asked).plan
    sent = RunRequest.model_validate_json(json.dumps({"plan": json.loads(plan.model_dump_json()), "prompt": "once"}))
    assert planner.prepare(sent).plan == plan


def with_each_number_as(content: Any, number: int) -> Iterator[Any]:
    """Copies of what JSON holds, each with another one of its numbers replaced."""
    if isinstance(content, dict | list):
        for place, part in content.items() if isinstance(content, dict) else enumerate(content):
            for changed in with_each_number_as(part, number):
                copy = content.copy()
                copy[place] = changed
                yield copy
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield number


def with_all_numbers_as(content: Any, number: int) -> Any:
    """What JSON holds, with every number replaced."""
    match content:
        case dict():
            return {name: with_all_numbers_as(part, number) for name, part in content.items()}
        case list():
            return [with_all_numbers_as(part, number) for part in content]
        case int() | float() if not isinstance(content, bool):
            return number
        case _:
            return content


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**63 - 1])
def test_a_plan_with_other_numbers_is_carried_out_or_refused(number: int, planner: Planner) -> None:
    """Its types let pass what no request could have asked for."""
    execution = {"grammar": {"kind": "regex", "source": "a|b"}, "logprobs": 1, "limits": {"deadline_ms": 5000}}
    asked = RunRequest.model_validate_json(json.dumps({"model": "tiny", "prompt": "once", "execution": execution}))
    content = json.loads(planner.prepare(asked).plan.model_dump_json())
    refused: set[str] = set()
    for changed in (with_all_numbers_as(content, number), *with_each_number_as(content, number)):
        try:
            given = RunRequest.model_validate_json(json.dumps({"plan": changed, "prompt": "once"}))
        except ValidationError:
            continue
        try:
            assert planner.prepare(given).plan == given.plan
        except RequestRefused as error:
            refused.add(error.params["field"])
    assert {"plan.threads", "plan.batch.context_length", "plan.nominal_watts", "plan.n"} <= refused
    assert [field for field in refused if not has_place(content, field)] == []


def has_place(content: dict[str, Any], field: str) -> bool:
    held: Any = {"plan": content}
    for name in field.split("."):
        if name not in held:
            return False
        held = held[name]
    return True
