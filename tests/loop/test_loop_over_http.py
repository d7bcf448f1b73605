"""The whole loop over HTTP: plan, experiment, propose, validate, apply, run by name, roll back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.requirements.llama import NAME

PLAN: dict[str, Any] = {"model": NAME, "limits": {"max_tokens": 6}, "stop": {"eos": False}}
EXPERIMENT: dict[str, Any] = {
    "baseline": PLAN,
    "candidates": [{**PLAN, "threads": 1}],
    "workload": [{"prompt": "Olá mundo"}, {"messages": [{"role": "user", "content": "Bom dia"}]}],
    "pairs": 2,
}


def client_of(engine: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(engine.with_name("engine-http.sock")))
    return httpx.Client(transport=transport, base_url="http://engine/v1/weos", timeout=60)


@pytest.fixture
def web(engine: Path) -> Iterator[httpx.Client]:
    with client_of(engine) as client:
        yield client


def told(answer: httpx.Response) -> dict[str, Any]:
    content: dict[str, Any] = answer.json()
    assert answer.status_code == 200, content
    return content


def one_kind_of_input(**changes: Any) -> dict[str, Any]:
    """Texts and conversations have different plans, so that one plan cannot answer both."""
    return {**EXPERIMENT, "workload": [{"prompt": "Olá mundo"}, {"prompt": "Bom dia"}], **changes}


def test_the_loop_runs_over_http_alone(web: httpx.Client) -> None:
    plan = told(web.post("/plan", json={"plan": PLAN, "prompt": "Olá mundo"}))["plan"]
    account = told(web.post("/run", json={"plan": plan, "prompt": "Olá mundo"}))
    assert account["record"]["plan"] == plan
    experiment = told(web.post("/experiments", json=one_kind_of_input()))["experiment"]
    name = experiment["experiment_id"]
    assert told(web.get(f"/experiments/{name}"))["experiment"] == experiment
    assert name in {one["experiment_id"] for one in told(web.get("/experiments"))["experiments"]}
    better = experiment["plans"][1]
    asked = {"plan": better, "evidence": [name], "kpi": "tokens_per_sec", "agent": "tester"}
    proposal = told(web.post("/proposals", json=asked))["status"]["proposal"]["proposal_id"]
    moved = told(web.post(f"/proposals/{proposal}/move", json={"state": "validated", "agent": "judge"}))
    assert moved["status"]["state"] == "validated"
    told(web.post("/plans/over-http/apply", json={"proposal": proposal}))
    run = told(web.post("/run", json={"plan_name": "over-http", "prompt": "Olá mundo"}))
    assert run["record"]["named_plan"]["name"] == "over-http"
    assert run["record"]["plan"] == better
    assert told(web.get("/proposals", params={"state": "applied"}))["proposals"]
    (version,) = told(web.get("/plans/over-http"))["versions"]
    assert version["named_plan"]["version"] == 1
    assert web.post("/plans/over-http/roll-back", json={}).status_code == 400
    assert web.get("/plans/nothing").status_code == 404


def test_an_experiment_is_followed_line_by_line(web: httpx.Client) -> None:
    headers = {"accept": "application/x-ndjson"}
    with web.stream("POST", "/experiments", json=one_kind_of_input(), headers=headers) as answer:
        lines = [json.loads(line) for line in answer.iter_lines() if line.strip()]
    kinds = [line["type"] for line in lines]
    assert (kinds[0], kinds[-1]) == ("ExperimentDeclared", "Experimented")
    assert kinds.count("PairMeasured") == 2


def test_inputs_that_no_single_plan_answers_are_refused_by_their_number(web: httpx.Client) -> None:
    refused = web.post("/experiments", json=EXPERIMENT)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["params"]["arm"], error["params"]["field"]) == (0, "plan.prompt_format")


def test_a_plan_that_no_request_could_have_is_refused_wherever_plans_are_taken(web: httpx.Client) -> None:
    plan = told(web.post("/plan", json={"plan": PLAN, "prompt": "Olá mundo"}))["plan"]
    plan |= {"threads": 0, "n": 0, "batch": dict.fromkeys(plan["batch"], 0)}
    asked = {"plan": plan, "prompt": "Olá mundo"}
    answers = [web.post(path, json=asked) for path in ("/plan", "/run")]
    answers.append(web.post("/experiments", json=one_kind_of_input(baseline=plan)))
    answers.append(web.post("/experiments", json=one_kind_of_input(candidates=[plan])))
    assert [answer.status_code for answer in answers] == [400] * 4
    assert {answer.json()["error"]["code"] for answer in answers} == {"invalid_plan"}
    assert [answer.json()["error"]["params"].get("arm") for answer in answers] == [None, None, 0, 1]
    assert all(answer.json()["error"]["params"]["field"].startswith("plan.") for answer in answers)


def test_an_experiment_is_stopped_by_its_id(web: httpx.Client, engine: Path) -> None:
    headers = {"accept": "application/x-ndjson"}
    lines: list[dict[str, Any]] = []
    with web.stream("POST", "/experiments", json=one_kind_of_input(pairs=500), headers=headers) as answer:
        for line in filter(None, answer.iter_lines()):
            lines.append(json.loads(line))
            if len(lines) == 1:
                name = lines[0]["declaration"]["experiment_id"]
                with client_of(engine) as other:
                    other.post(f"/experiments/{name}/stop", json={})
    assert (lines[-1]["type"], lines[-1]["experiment"]["ended"]) == ("Experimented", "stopped")
