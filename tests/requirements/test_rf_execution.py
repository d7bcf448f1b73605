"""RF-01 to RF-04: models, plans, quantization, backends."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.backend import Backend
from engine.config import EngineConfig
from engine.cpu.cpu_backend import CpuBackend
from engine.models.registry import ModelRegistry
from engine.weights.weights_cache import WeightsCache
from protocol.answers import Accepted, Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.errors import InvalidModel, UnsupportedBackend, UnsupportedQuantization
from protocol.plan import ExecutionPlan, ExecutionRequest, RunRequest
from protocol.quantization import RECIPES
from protocol.requests import Detokenize, ModelInfo, Plan, Status, Tokenize
from tests.actors.fake_backend import FakeBackend
from tests.requirements.execution import from_json, make_request, messages_of, record_of, run
from tests.requirements.llama import NAME
from tests.support.architecture_models import CASES, write_architecture_model


def backends(client: BlockingClient) -> list[str]:
    """Those that this machine can run."""
    named = [capability.partition(":") for capability in client.welcome.capabilities]
    return [name for kind, _, name in named if kind == "backend"]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma3", "phi3", "granite", "olmoe"])
def test_rf_01_gguf_models_of_many_architectures_run(architecture: str, client: BlockingClient, tmp_path: Path) -> None:
    model = write_architecture_model(tmp_path / f"{architecture}.gguf", **CASES[architecture])
    asked = RunRequest(model=str(model), prompt="Once", execution=make_request(stop={"eos": False}).execution)
    record = record_of(client, asked)
    assert record.plan.model_ref.architecture == CASES[architecture]["architecture"]
    assert (record.stop_reason, record.metrics.tokens_total) == ("max_tokens", 8)


def test_rf_01_gguf_is_what_a_model_must_be(client: BlockingClient, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InvalidModel):
        record_of(client, from_json({"model": str(tmp_path / "model.gguf"), "prompt": "Olá"}))


def test_rf_01_streaming_hands_out_tokens_before_the_end(client: BlockingClient) -> None:
    asked = make_request(max_tokens=64, stop={"eos": False}, stream={"flush_ms": 0})
    messages = messages_of(client, asked)
    assert isinstance(messages[0], Accepted)
    assert isinstance(messages[-1], Finished)
    streamed = [message for message in messages if isinstance(message, Tokens)]
    assert len(streamed) > 1
    assert "".join(message.text for message in streamed) == messages[-1].record.result


@pytest.mark.parametrize("prompt", ["Olá mundo", "Explique inferência eficiente", "日本語 🌍\n\ttabs"])
def test_rf_01_prompt_is_a_text_that_becomes_the_prompts_tokens(prompt: str, client: BlockingClient) -> None:
    record = run(client, prompt=prompt)
    assert record.prompt_token_ids == client.ask(Tokenize(model=NAME, text=prompt)).token_ids
    assert client.ask(Detokenize(model=NAME, token_ids=record.prompt_token_ids)).text == prompt


def test_rf_02_separation_of_one_model_and_two_plans(client: BlockingClient) -> None:
    plans = [client.ask(Plan(request=make_request(quantization=name))).plan for name in ("native", "q8_0")]
    assert plans[0].model_ref == plans[1].model_ref
    assert plans[0].fingerprint != plans[1].fingerprint
    assert not set(ExecutionRequest.model_fields) & set(type(plans[0].model_ref).model_fields)


def test_rf_02_explicit_plan_comes_before_any_token_and_stays_in_the_record(client: BlockingClient) -> None:
    accepted, *_, finished = messages_of(client, make_request())
    assert isinstance(accepted, Accepted)
    assert isinstance(finished, Finished)
    assert finished.record.plan == accepted.plan
    digest = hashlib.sha256(accepted.plan.canonical_json().encode()).hexdigest()
    assert finished.record.plan_fingerprint == accepted.plan_fingerprint == f"sha256:{digest}"


def test_rf_02_backend_is_in_the_plan(client: BlockingClient) -> None:
    assert run(client).plan.backend == backends(client)[0]
    assert run(client, backend="reference").plan.backend == "reference"


def test_rf_02_quantization_is_in_the_plan(client: BlockingClient) -> None:
    assert run(client).plan.quantization == "native"
    assert run(client, quantization="q8_0").plan.quantization == "q8_0"


def test_rf_02_policy_is_in_the_plan(client: BlockingClient) -> None:
    assert run(client).plan.scheduler_policy == "default"
    assert run(client, scheduler_policy="energy").plan.scheduler_policy == "energy"


def test_rf_02_limits_are_in_the_plan(client: BlockingClient) -> None:
    limits = run(client, limits={"max_watts": 25, "max_joules": 900, "deadline_ms": 60_000}).plan.limits
    assert (limits.max_watts, limits.max_joules, limits.deadline_ms, limits.max_tokens) == (25.0, 900.0, 60_000, 8)


def test_rf_03_parameter_of_the_execution_changes_the_computation(client: BlockingClient) -> None:
    digests = {run(client, quantization=name).logits_digest for name in ("native", *RECIPES)}
    assert len(digests) == 1 + len(RECIPES)


@pytest.mark.parametrize("recipe", ["q8_0", "q6_k", "q4_k_m"])
def test_rf_03_recipes_of_the_documents_run(recipe: str, client: BlockingClient) -> None:
    record = run(client, quantization=recipe)
    assert record.plan.quantization == recipe
    assert record.metrics.tokens_total > 0
    tensor_types = {each.quantization: each.tensor_types for each in client.ask(ModelInfo(model=NAME)).recipes}
    assert recipe[:3].upper() in " ".join(tensor_types[recipe])


@pytest.mark.parametrize("name", ["Q8_0", "Q6_K", "Q4_K_M"])
def test_rf_03_recipes_go_by_the_documents_capitals_too(name: str, client: BlockingClient) -> None:
    assert (
        client.ask(Plan(request=make_request(quantization=name))).plan
        == client.ask(Plan(request=make_request(quantization=name.lower()))).plan
    )


def test_rf_03_recipes_are_refused_by_name_where_there_are_none(client: BlockingClient) -> None:
    with pytest.raises(UnsupportedQuantization, match="q4_k_m"):
        run(client, quantization="q3_k_xxl")


def test_rf_03_same_artifact_serves_every_quantization_and_is_left_alone(client: BlockingClient, home: Path) -> None:
    model = home / "models" / f"{NAME}.gguf"
    before = (hashlib.sha256(model.read_bytes()).hexdigest(), model.stat().st_mtime_ns)
    hashes = {run(client, quantization=name).plan.model_ref.content_hash for name in RECIPES}
    assert hashes == {f"sha256:{before[0]}"}
    assert (hashlib.sha256(model.read_bytes()).hexdigest(), model.stat().st_mtime_ns) == before


async def test_rf_04_interface_is_one_for_all_backends(home: Path) -> None:
    asked = {name for name in vars(Backend) if not name.startswith("_")}
    config = EngineConfig(home / "models", home / "cache", home / "data")
    implementations = (CpuBackend(ModelRegistry(config), WeightsCache.of(config)), FakeBackend())
    for backend in implementations:
        assert asked <= set(dir(backend))
        backend.close()


def test_rf_04_implementations_are_several_and_agree_on_every_bit(client: BlockingClient) -> None:
    assert len(backends(client)) > 1
    assert len({run(client, backend=name).logits_digest for name in backends(client)}) == 1


def test_rf_04_choice_of_the_plan_is_what_runs(client: BlockingClient) -> None:
    for name in backends(client):
        assert run(client, backend=name).hardware.kernel_path == name


def test_rf_04_choice_of_a_backend_that_is_not_here_is_refused(client: BlockingClient) -> None:
    with pytest.raises(UnsupportedBackend, match="cuda"):
        run(client, backend="cuda")


def test_rf_04_choice_is_made_while_the_engine_runs(client: BlockingClient) -> None:
    pid = client.ask(Status()).pid
    for name in backends(client):
        run(client, backend=name)
    assert client.ask(Status()).pid == pid
    plan: ExecutionPlan = client.ask(Plan(request=make_request(backend="reference"))).plan
    assert plan.backend == "reference"
