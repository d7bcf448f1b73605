"""Every place of a message where it names a model, and what becomes of paths there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from actors.http.named_models import is_path, named_models
from actors.http.options import HttpRules
from protocol.experiment_messages import Experiment
from protocol.model_ref import ModelRef
from protocol.plan import PlanRequest, RunRequest
from protocol.proposal_messages import Propose
from protocol.requests import AskedMessage, Run
from tests.actors.fake_plans import make_plan
from tests.actors.http.http_stage import HELLO, SECRET, stage

SHOWN = {"x-api-key": SECRET.decode()}
PATH = "/models/other.gguf"
DRAFT = {"speculation": {"kind": "draft", "model": PATH}}
_EXECUTION = {"execution.speculation.model", "model"}
_OPEN = {"model", "model_ref", "speculation.model"}
_WHOLE = {"model_ref", "speculation.model"}
_IN_RUN = {f"request.{one}" for one in _EXECUTION | {f"plan.{name}" for name in _OPEN | _WHOLE}}
_ARMS = {f"{arm}.{name}" for arm in ("baseline", "candidates") for name in _OPEN}
PLACES = {
    "Run": _IN_RUN,
    "Plan": _IN_RUN,
    "Experiment": _ARMS,
    "Propose": {f"plan.{name}" for name in _WHOLE},
    **{kind: {"request.model"} for kind in ("Embed", "Rerank", "Evaluate")},
    **{kind: {"model"} for kind in ("ModelInfo", "ModelAdvice", "PullModel", "RemoveModel", "UnloadModel")},
    **{kind: {"model"} for kind in ("Tokenize", "Detokenize", "Quantize")},
    **{kind: {"wanted.model"} for kind in ("ListExecutions", "Subscribe")},  # filters, which open nothing
}


def model_fields(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    """Fields called after a model, at any depth."""
    for name, field in kind.model_fields.items():
        inner = list(_kinds_in(field.annotation))
        if name in ("model", "model_ref"):
            yield before + name
        else:
            for one in inner:
                yield from model_fields(one, f"{before}{name}.")


def _kinds_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _kinds_in(part)


@pytest.mark.parametrize("kind", get_args(AskedMessage), ids=lambda kind: kind.__name__)
def test_every_place_that_names_a_model_is_known(kind: type[BaseModel]) -> None:
    assert set(model_fields(kind)) == PLACES.get(kind.__name__, set())


def named_in(message: Any) -> list[tuple[str, str]]:
    return list(named_models(message))


def test_runs_and_plans_name_models_wherever_they_do() -> None:
    whole = make_plan(RunRequest(model="tiny", prompt="abc"))
    other = ModelRef(name=PATH, path="/", content_hash="sha256:", architecture="llama", stored_types=())
    guessing = whole.model_copy(update={"speculation": whole.speculation.model_copy(update={"model": other})})
    asked = PlanRequest.model_validate({"model_ref": "tiny", **DRAFT})
    run = RunRequest.model_validate({"model": "tiny", "prompt": "abc", "execution": DRAFT})
    assert named_in(Run(request=run)) == [("model", "tiny"), ("execution.speculation.model", PATH)]
    of_plan = RunRequest(prompt="abc", plan=asked)
    assert named_in(Run(request=of_plan)) == [("plan.model_ref", "tiny"), ("plan.speculation.model", PATH)]
    experiment = Experiment(baseline=whole, candidates=(asked, guessing), workload=({"prompt": "abc"},))  # type: ignore[arg-type]
    assert ("candidates.0.speculation.model", PATH) in named_in(experiment)
    assert ("candidates.1.speculation.model.name", PATH) in named_in(experiment)
    proposal = Propose(plan=guessing, evidence=("e1",), kpi="tokens_per_sec")
    assert ("plan.speculation.model.name", PATH) in named_in(proposal)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *((name, False) for name in ("tiny", "tiny.gguf", "hf:a/b/c.gguf", "https://a.b/c.gguf", "ollama:a/b")),
        *((name, True) for name in (PATH, "./a.gguf", "~/a.gguf", "a/b.gguf")),
    ],
)
def test_a_path_has_a_slash_and_is_no_reference(name: str, path: bool) -> None:
    assert is_path(name) is path


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that name a path where the models themselves are named well."""
    whole = make_plan(RunRequest(model="tiny", prompt="abc")).model_dump(mode="json")
    other = {**whole["model_ref"], "name": PATH}
    guessing = {**whole, "speculation": {**whole["speculation"], "model": other}}
    workload = [{"prompt": "abc"}]
    yield "/v1/weos/run", {"model": "tiny", "prompt": "abc", "execution": DRAFT}
    yield "/v1/weos/plan", {"plan": {"model": "tiny", **DRAFT}, "prompt": "abc"}
    yield "/v1/weos/run", {"plan": {**whole, "model_ref": other}, "prompt": "abc"}
    yield "/v1/weos/run", {"model": "tiny", "plan": guessing, "prompt": "abc"}
    yield "/v1/weos/experiments", {"baseline": {"model": "tiny", **DRAFT}, "candidates": [whole], "workload": workload}
    yield "/v1/weos/experiments", {"baseline": whole, "candidates": [guessing], "workload": workload}
    yield "/v1/weos/proposals", {"plan": guessing, "evidence": ["e1"], "kpi": "tokens_per_sec"}
    for path in ("/v1/chat/completions", "/api/chat", "/v1/chat/completions/input_tokens", "/apply-template"):
        yield path, {**HELLO, "execution": DRAFT}
    yield "/v1/messages", {**HELLO, "max_tokens": 1, "execution": DRAFT}
    for path in ("/v1/completions", "/api/generate"):
        yield path, {"model": "tiny", "prompt": "abc", "execution": DRAFT}
    yield "/v1/responses", {"model": "tiny", "input": "abc", "execution": DRAFT}
    yield "/completion", {"model": "tiny", "prompt": "abc", "execution": DRAFT}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_dialect_takes_a_path_anywhere_in_a_request(stream: bool) -> None:
    async with stage(tcp=True, rules=HttpRules(secret=SECRET)) as served, served.tcp_client() as client:
        for path, body in bodies():
            native = path.startswith("/v1/weos")
            headers = SHOWN | ({"accept": "text/event-stream"} if native and stream else {})
            answer = await client.post(path, json=body if native else {**body, "stream": stream}, headers=headers)
            assert (answer.status_code, "serve --http-allow-paths" in answer.text) == (403, True), (path, answer.text)


async def test_where_paths_are_allowed_a_draft_model_may_have_one_too() -> None:
    rules = HttpRules(secret=SECRET, allow_paths=True)
    async with stage(tcp=True, rules=rules) as served, served.tcp_client() as client:
        answer = await client.post("/v1/chat/completions", json={**HELLO, "execution": DRAFT}, headers=SHOWN)
    assert answer.status_code == 200


async def test_the_operators_own_default_model_may_have_a_path() -> None:
    rules = HttpRules(secret=SECRET, default_model=PATH)
    async with stage(tcp=True, rules=rules) as served, served.tcp_client() as client:
        answer = await client.post("/v1/chat/completions", json={"messages": HELLO["messages"]}, headers=SHOWN)
    assert answer.json()["error"]["code"] == "unknown_model"  # it was asked for
