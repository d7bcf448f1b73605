"""OpenAI's own package against the engine's Responses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.clients.http_engine import TINY, HttpEngine

openai = pytest.importorskip("openai", reason="make test-clients runs it")

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "How warm it is somewhere.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Lisboa"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
LIFE_OF_A_TEXT = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


class Verdict(BaseModel):
    """What an answer is held to."""

    colour: Literal["red", "green"]
    sure: bool


@pytest.fixture
def client(engine: HttpEngine) -> Iterator[Any]:
    with openai.OpenAI(base_url=engine.v1, api_key="none", max_retries=0) as client:
        yield client


def test_a_response_is_what_its_stream_ends_with(client: Any) -> None:
    asked = {"model": TINY, "input": "Hello", "instructions": "Be brief.", "max_output_tokens": 12}
    asked |= {"extra_body": {"ignore_eos": True}}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [*LIFE_OF_A_TEXT, "response.incomplete"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert whole.output_text == events[-1].response.output_text
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert whole.usage.output_tokens == 12


def test_the_helper_for_streams_puts_the_response_together(client: Any) -> None:
    with client.responses.stream(model=TINY, input="Hello", tools=[WEATHER], tool_choice="required") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert final.status == "completed"
    assert {call.name for call in final.output} == {"get_weather"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_call_and_what_came_of_it_are_items(client: Any, choice: Any) -> None:
    asked = client.responses.create(
        model=TINY, input="Hello", tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False
    )
    (call,) = asked.output
    assert json.loads(call.arguments)["city"] in {"Paris", "Lisboa"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "17 degrees"}
    answer = client.responses.create(
        model=TINY,
        input=[{"role": "user", "content": "Hello"}, *asked.output, result],
        tools=[WEATHER],
        max_output_tokens=8,
    )
    assert answer.usage.input_tokens > asked.usage.input_tokens


def test_a_response_is_parsed_into_a_pydantic_model(client: Any) -> None:
    parsed = client.responses.parse(model=TINY, input="Hello", text_format=Verdict)
    assert isinstance(parsed.output_parsed, Verdict)


def test_tokens_are_counted_beforehand(client: Any) -> None:
    counted = client.responses.input_tokens.count(model=TINY, input="Hello")
    answer = client.responses.create(model=TINY, input="Hello", max_output_tokens=2)
    assert counted.input_tokens == answer.usage.input_tokens


def test_nothing_is_kept_between_responses(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=TINY, input="Hello", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_a_stream_is_read_from_asyncio(engine: HttpEngine) -> None:
    async def read() -> list[str]:
        async with openai.AsyncOpenAI(base_url=engine.v1, api_key="none") as client:
            stream = await client.responses.create(model=TINY, input="Hello", max_output_tokens=3, stream=True)
            return [event.type async for event in stream]

    assert asyncio.run(read())[0] == "response.created"
