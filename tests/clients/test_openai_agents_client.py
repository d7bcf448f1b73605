"""OpenAI's Agents SDK on the engine, over chats and over Responses."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from tests.clients.http_engine import TINY, HttpEngine

agents = pytest.importorskip("agents", reason="make test-clients runs it")
openai = pytest.importorskip("openai", reason="make test-clients runs it")


class Verdict(BaseModel):
    """What an agent must come to."""

    model_config = ConfigDict(extra="forbid")
    colour: Literal["red", "green"]


def run(engine: HttpEngine, kind: str, use: Any) -> Any:
    """What ``use`` makes of a model of that kind."""

    async def with_model() -> Any:
        async with openai.AsyncOpenAI(base_url=engine.v1, api_key="none", max_retries=0) as client:
            made = agents.OpenAIChatCompletionsModel if kind == "chat" else agents.OpenAIResponsesModel
            return await use(made(model=TINY, openai_client=client))

    return asyncio.run(with_model())


@pytest.fixture(autouse=True)
def tell_nobody() -> None:
    """Traces would go to OpenAI."""
    agents.set_tracing_disabled(True)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_an_agent_calls_a_tool_and_goes_on_with_its_result(engine: HttpEngine, kind: str) -> None:
    asked: list[str] = []

    def get_weather(city: Literal["Paris", "Lisboa"]) -> str:
        """How warm it is somewhere."""
        asked.append(city)
        return f"17 degrees in {city}"

    async def use(model: Any) -> Any:
        settings = agents.ModelSettings(tool_choice="required", parallel_tool_calls=False, max_tokens=200)
        tools = [agents.function_tool(get_weather)]
        agent = agents.Agent(name="Clerk", model=model, tools=tools, model_settings=settings)
        return await agents.Runner.run(agent, "Hello", max_turns=3)

    result = run(engine, kind, use)
    assert set(asked) <= {"Paris", "Lisboa"}
    assert [item.type for item in result.new_items][:2] == ["tool_call_item", "tool_call_output_item"]


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_an_agent_comes_to_a_typed_result(engine: HttpEngine, kind: str) -> None:
    async def use(model: Any) -> Any:
        agent = agents.Agent(name="Judge", model=model, output_type=Verdict)
        return await agents.Runner.run(agent, "Hello")

    assert isinstance(run(engine, kind, use).final_output, Verdict)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_an_agents_events_are_streamed(engine: HttpEngine, kind: str) -> None:
    async def use(model: Any) -> list[str]:
        # An answer that a limit has cut is an error of a response's.
        held = {"execution": {"grammar": {"kind": "gbnf", "source": 'root ::= "Hello."'}}}
        agent = agents.Agent(name="Clerk", model=model, model_settings=agents.ModelSettings(extra_body=held))
        return [event.type async for event in agents.Runner.run_streamed(agent, "Hello").stream_events()]

    kinds = run(engine, kind, use)
    assert {"raw_response_event", "run_item_stream_event"} <= set(kinds)
