"""Pydantic AI's agents on the engine, by each of the APIs that it speaks to it."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from tests.clients.http_engine import TINY, HttpEngine

pydantic_ai = pytest.importorskip("pydantic_ai", reason="make test-clients runs it")
anthropic_models = pytest.importorskip("pydantic_ai.models.anthropic", reason="make test-clients runs it")
anthropic_providers = pytest.importorskip("pydantic_ai.providers.anthropic", reason="make test-clients runs it")
ollama_providers = pytest.importorskip("pydantic_ai.providers.ollama", reason="make test-clients runs it")
openai_models = pytest.importorskip("pydantic_ai.models.openai", reason="make test-clients runs it")
openai_providers = pytest.importorskip("pydantic_ai.providers.openai", reason="make test-clients runs it")


class Verdict(BaseModel):
    """What an agent must come to."""

    model_config = ConfigDict(extra="forbid")
    colour: Literal["red", "green"]


@pytest.fixture(params=["chat", "responses", "anthropic", "ollama"])
def model(request: pytest.FixtureRequest, engine: HttpEngine) -> Any:
    openai = openai_providers.OpenAIProvider(base_url=engine.v1, api_key="none")
    match request.param:
        case "chat":
            return openai_models.OpenAIChatModel(TINY, provider=openai)
        case "responses":
            return openai_models.OpenAIResponsesModel(TINY, provider=openai)
        case "anthropic":
            provider = anthropic_providers.AnthropicProvider(base_url=engine.url, api_key="none")
            return anthropic_models.AnthropicModel(TINY, provider=provider)
        case _:
            provider = ollama_providers.OllamaProvider(base_url=engine.v1)
            return openai_models.OpenAIChatModel(TINY, provider=provider)


def test_an_agent_answers_a_text(model: Any) -> None:
    result = pydantic_ai.Agent(model, model_settings={"max_tokens": 12}).run_sync("Hello")
    assert result.usage.input_tokens > 0


def test_an_agent_comes_to_a_typed_result_by_a_tool(model: Any) -> None:
    agent = pydantic_ai.Agent(model, output_type=pydantic_ai.ToolOutput(Verdict), model_settings={"max_tokens": 300})
    assert isinstance(agent.run_sync("Hello").output, Verdict)


def test_an_agent_comes_to_a_typed_result_by_a_schema(model: Any) -> None:
    if isinstance(model, anthropic_models.AnthropicModel):
        pytest.skip("the package knows by their names which models take a schema of Anthropic's")
    agent = pydantic_ai.Agent(model, output_type=pydantic_ai.NativeOutput(Verdict), model_settings={"max_tokens": 300})
    assert isinstance(agent.run_sync("Hello").output, Verdict)


def test_an_agents_text_is_streamed(model: Any) -> None:
    async def read() -> str:
        agent = pydantic_ai.Agent(model, model_settings={"max_tokens": 12, "seed": 3})
        async with agent.run_stream("Hello") as run:
            parts = [part async for part in run.stream_text(delta=True)]
        return "".join(parts)

    assert asyncio.run(read())
