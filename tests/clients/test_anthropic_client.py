"""Anthropic's own package against the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.clients.http_engine import THINKER, TINY, HttpEngine

anthropic = pytest.importorskip("anthropic", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
SAYS_HELLO = {"execution": {"grammar": {"kind": "gbnf", "source": 'root ::= "Hello, wörld."'}}}
WEATHER = {
    "name": "get_weather",
    "description": "How warm it is somewhere.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Lisboa"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Verdict(BaseModel):
    """What an answer is held to."""

    colour: Literal["red", "green"]
    sure: bool


@pytest.fixture
def client(engine: HttpEngine) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=engine.url, api_key="none", max_retries=0) as client:
        yield client


def ask(client: Any, **fields: Any) -> Any:
    return client.messages.create(**{"model": TINY, "messages": HELLO, "max_tokens": 100, **fields})


def test_a_message_is_answered(client: Any) -> None:
    answer = ask(client, system="Be brief.", extra_body=SAYS_HELLO)
    assert [block.text for block in answer.content] == ["Hello, wörld."]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


def test_a_limit_and_a_stop_sequence_are_named(client: Any) -> None:
    assert ask(client, max_tokens=2).stop_reason == "max_tokens"
    stopped = ask(client, stop_sequences=["wör"], extra_body=SAYS_HELLO)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "wör")
    assert stopped.content[0].text == "Hello, "


def test_the_stream_begins_with_the_prompt_and_ends_with_the_answer(client: Any) -> None:
    counted = client.messages.count_tokens(model=TINY, messages=HELLO)
    with client.messages.stream(model=TINY, messages=HELLO, max_tokens=100, extra_body=SAYS_HELLO) as stream:
        events = list(stream)
        final = stream.get_final_message()
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "message_start",
        *("content_block_start", "content_block_delta", "text", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert events[0].message.usage.input_tokens == counted.input_tokens > 0
    assert final.usage.input_tokens == counted.input_tokens
    assert final.content[0].text == "Hello, wörld."


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_tool_is_used_and_its_result_read(client: Any, choice: dict[str, Any]) -> None:
    asked = ask(client, tools=[WEATHER], tool_choice={**choice, "disable_parallel_tool_use": True})
    (use,) = asked.content
    assert asked.stop_reason == "tool_use"
    assert use.input["city"] in {"Paris", "Lisboa"}
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "17 degrees"}]}
    turns = [*HELLO, {"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
    answer = ask(client, messages=turns, tools=[WEATHER], max_tokens=4)
    assert answer.usage.input_tokens > asked.usage.input_tokens


def test_a_tools_input_is_streamed(client: Any) -> None:
    with client.messages.stream(
        model=TINY, messages=HELLO, max_tokens=200, tools=[WEATHER], tool_choice={"type": "any"}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert "input_json" in kinds
    assert final.stop_reason == "tool_use"
    assert all(use.input["city"] in {"Paris", "Lisboa"} for use in final.content)


@pytest.mark.parametrize("way", ["messages", "beta"])
def test_an_answer_is_parsed_into_a_pydantic_model(client: Any, way: str) -> None:
    messages = client.messages if way == "messages" else client.beta.messages
    parsed = messages.parse(model=TINY, messages=HELLO, max_tokens=200, output_format=Verdict)
    assert isinstance(parsed.parsed_output, Verdict)


def test_what_is_refused_is_the_exception_that_the_package_has_for_it(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError):
        ask(client, model="nothing")
    with pytest.raises(anthropic.BadRequestError) as image:
        ask(client, messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}])
    assert image.value.body["error"]["type"] == "invalid_request_error"


def test_models_are_listed_and_found(client: Any) -> None:
    assert {model.id for model in client.models.list()} == {TINY, THINKER}
    assert client.models.retrieve(TINY).display_name == TINY


def test_a_stream_is_read_from_asyncio(engine: HttpEngine) -> None:
    async def read() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=engine.url, api_key="none") as client,
            client.messages.stream(model=TINY, messages=HELLO, max_tokens=100, extra_body=SAYS_HELLO) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(read()) == "Hello, wörld."
