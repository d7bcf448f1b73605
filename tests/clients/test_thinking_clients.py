"""A model that thinks before it answers, through the clients that show thinking."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients.http_engine import THINKER, HttpEngine

agents = pytest.importorskip("agents", reason="make test-clients runs it")
anthropic = pytest.importorskip("anthropic", reason="make test-clients runs it")
litellm = pytest.importorskip("litellm", reason="make test-clients runs it")
ollama = pytest.importorskip("ollama", reason="make test-clients runs it")
openai = pytest.importorskip("openai", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
GREETING = {"kind": "gbnf", "source": 'root ::= "Hello, wörld."'}
BRIEFLY = {"execution": {"reasoning": {"max_tokens": 8}, "grammar": GREETING}}
"""Eight tokens of thinking at most, and then the answer."""


def test_openais_chats_have_it_in_a_field_of_its_own(engine: HttpEngine) -> None:
    asked = {"model": THINKER, "messages": HELLO, "max_tokens": 99, "extra_body": BRIEFLY}
    with openai.OpenAI(base_url=engine.v1, api_key="none") as client:
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    message = whole.choices[0].message
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == message.reasoning_content
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert message.reasoning_content
    assert message.content == "Hello, wörld."
    assert 0 < whole.usage.completion_tokens_details.reasoning_tokens <= 8


def test_openais_responses_have_an_item_of_it(engine: HttpEngine) -> None:
    asked = {"model": THINKER, "input": "Hello", "max_output_tokens": 99, "extra_body": BRIEFLY}
    with openai.OpenAI(base_url=engine.v1, api_key="none") as client:
        whole = client.responses.create(**asked)
        with client.responses.stream(**asked) as stream:
            kinds = {event.type for event in stream}
            streamed = stream.get_final_response()
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    assert [item.content[0].text for item in streamed.output] == [item.content[0].text for item in whole.output]
    assert {"response.reasoning_text.delta", "response.reasoning_text.done"} <= kinds


def test_thinking_can_be_turned_off(engine: HttpEngine) -> None:
    with openai.OpenAI(base_url=engine.v1, api_key="none") as client:
        chat = client.chat.completions.create(
            model=THINKER, messages=HELLO, max_tokens=8, reasoning_effort="none", extra_body={"ignore_eos": True}
        )
        response = client.responses.create(
            model=THINKER, input="Hello", max_output_tokens=8, reasoning={"effort": "none"}
        )
    assert getattr(chat.choices[0].message, "reasoning_content", None) is None
    assert [item.type for item in response.output] == ["message"]


def test_anthropics_messages_have_a_block_of_it(engine: HttpEngine) -> None:
    asked = {"model": THINKER, "messages": HELLO, "max_tokens": 99, "thinking": {"type": "enabled", "budget_tokens": 8}}
    asked["extra_body"] = {"execution": {"grammar": GREETING}}
    with anthropic.Anthropic(base_url=engine.url, api_key="none") as client:
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            kinds = {event.type for event in stream}
            streamed = stream.get_final_message()
        again = client.messages.create(
            model=THINKER, max_tokens=4, messages=[*HELLO, {"role": "assistant", "content": whole.content}, *HELLO]
        )
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert streamed.content[0].thinking == whole.content[0].thinking != ""
    assert streamed.content[1].text == whole.content[1].text == "Hello, wörld."
    assert "thinking" in kinds
    assert again.usage.input_tokens > whole.usage.input_tokens


def test_ollamas_lines_have_it_in_a_field_of_their_own(engine: HttpEngine) -> None:
    options = {"num_predict": 12, "seed": 2}
    with ollama.Client(host=engine.url) as client:
        thought = client.chat(model=THINKER, messages=HELLO, think=True, options=options)
        lines = list(client.chat(model=THINKER, messages=HELLO, think=True, options=options, stream=True))
        plain = client.chat(model=THINKER, messages=HELLO, think=False, options=options)
    assert thought.message.thinking
    assert "".join(line.message.thinking or "" for line in lines) == thought.message.thinking
    assert plain.message.thinking is None


@pytest.mark.parametrize("prefix", ["openai", "anthropic"])
def test_litellm_shows_it_as_openai_does(engine: HttpEngine, prefix: str) -> None:
    address = engine.v1 if prefix == "openai" else engine.url
    where = {"model": f"{prefix}/{THINKER}", "api_base": address, "api_key": "none"}
    answer = litellm.completion(**where, messages=HELLO, max_tokens=99, extra_body=BRIEFLY)
    assert answer.choices[0].message.reasoning_content


def test_an_agent_has_an_item_of_it(engine: HttpEngine) -> None:
    agents.set_tracing_disabled(True)

    async def run() -> list[str]:
        async with openai.AsyncOpenAI(base_url=engine.v1, api_key="none") as client:
            model = agents.OpenAIResponsesModel(model=THINKER, openai_client=client)
            settings = agents.ModelSettings(max_tokens=99, extra_body=BRIEFLY)
            result = await agents.Runner.run(agents.Agent(name="Clerk", model=model, model_settings=settings), "Hello")
        return [item.type for item in result.new_items]

    assert asyncio.run(run()) == ["reasoning_item", "message_output_item"]
