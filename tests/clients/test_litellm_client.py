"""LiteLLM against the engine, by each of its ways to speak to a server like this one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.clients.http_engine import TINY, HttpEngine

litellm = pytest.importorskip("litellm", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Lisboa"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "greeting", "schema": {"enum": ["Hello, wörld."]}, "strict": True},
}
PREFIXES = ["openai", "ollama", "ollama_chat", "anthropic"]


def base(engine: HttpEngine, prefix: str) -> dict[str, str]:
    address = engine.v1 if prefix == "openai" else engine.url
    return {"model": f"{prefix}/{TINY}", "api_base": address, "api_key": "none"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_stream_says_what_the_answer_in_one_piece_says(engine: HttpEngine, prefix: str) -> None:
    asked = {**base(engine, prefix), "messages": HELLO, "max_tokens": 12, "temperature": 0.5}
    whole = litellm.completion(**asked)
    chunks = list(litellm.completion(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert whole.usage.prompt_tokens > 0
    assert whole.choices[0].finish_reason in {"stop", "length"}


@pytest.mark.parametrize("prefix", ["openai", "ollama", "ollama_chat"])
def test_an_answer_is_held_to_a_schema(engine: HttpEngine, prefix: str) -> None:
    answer = litellm.completion(**base(engine, prefix), messages=HELLO, max_tokens=99, response_format=SCHEMA)
    assert json.loads(answer.choices[0].message.content) == "Hello, wörld."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prefix", ["openai", "anthropic"])
def test_a_call_that_must_be_made_fits_its_tool(engine: HttpEngine, prefix: str, stream: bool) -> None:
    answer = litellm.completion(
        **base(engine, prefix),
        messages=HELLO,
        tools=[WEATHER],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=200,
        stream=stream,
    )
    if stream:
        answer = litellm.stream_chunk_builder(list(answer))
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Lisboa"}
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("prefix", ["openai", "ollama"])
def test_vectors_of_texts(engine: HttpEngine, prefix: str) -> None:
    answer = litellm.embedding(**base(engine, prefix), input=["Hello", "world"])
    assert [len(one["embedding"]) for one in answer.data] == [64, 64]


def test_a_response_is_answered(engine: HttpEngine) -> None:
    answer = litellm.responses(**base(engine, "openai"), input="Hello", max_output_tokens=4)
    assert answer.output[0].type == "message"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_model_that_is_not_here_is_litellms_error(engine: HttpEngine, prefix: str) -> None:
    unknown = {**base(engine, prefix), "model": f"{prefix}/nothing"}
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**unknown, messages=HELLO)


def test_a_prompt_that_is_too_long_is_litellms_error(engine: HttpEngine) -> None:
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**base(engine, "openai"), messages=[{"role": "user", "content": "a" * 9000}])


def test_what_cannot_be_asked_is_litellms_error(engine: HttpEngine) -> None:
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**base(engine, "openai"), messages=HELLO, temperature=-1)


def test_many_at_once_from_asyncio(engine: HttpEngine) -> None:
    async def ask() -> list[str]:
        asked = {**base(engine, "openai"), "messages": HELLO, "max_tokens": 12, "seed": 4}
        answers = await asyncio.gather(*(litellm.acompletion(**asked) for _ in range(4)))
        return [answer.choices[0].message.content for answer in answers]

    assert len(set(asyncio.run(ask()))) == 1
