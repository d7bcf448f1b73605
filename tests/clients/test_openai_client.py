"""OpenAI's own package against the engine: chat, streams, tools, schemas, completions, embeddings, models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.clients.http_engine import THINKER, TINY, HttpEngine

openai = pytest.importorskip("openai", reason="make test-clients runs it")
httpx2 = pytest.importorskip("httpx2", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
SAYS_HELLO = {"grammar": 'root ::= "Hello, wörld."'}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "How warm it is somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Lisboa"]}, "now": {"type": "boolean"}},
            "required": ["city", "now"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}


class Verdict(BaseModel):
    """What an answer is held to."""

    colour: Literal["red", "green"]
    sure: bool


@pytest.fixture
def client(engine: HttpEngine) -> Iterator[Any]:
    with openai.OpenAI(base_url=engine.v1, api_key="none", max_retries=0) as client:
        yield client


def chat(client: Any, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": TINY, "messages": HELLO, "max_tokens": 64, **fields})


def test_a_chat_is_answered(client: Any) -> None:
    answer = chat(client, extra_body=SAYS_HELLO)
    assert answer.choices[0].message.content == "Hello, wörld."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_says_what_the_answer_in_one_piece_says(client: Any) -> None:
    endless = {"ignore_eos": True}
    whole = chat(client, seed=7, extra_body=endless)
    chunks = list(chat(client, seed=7, stream=True, stream_options={"include_usage": True}, extra_body=endless))
    *parts, last = chunks
    assert "".join(chunk.choices[0].delta.content or "" for chunk in parts) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in parts if chunk.choices[0].finish_reason] == ["length"]
    assert (last.choices, last.usage.completion_tokens) == ([], 64)


def test_the_helper_for_streams_puts_the_chunks_together_again(client: Any) -> None:
    with client.chat.completions.stream(model=TINY, messages=HELLO, extra_body=SAYS_HELLO) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert kinds[-1] == "content.done"
    assert final.choices[0].message.content == "Hello, wörld."


def test_several_choices_and_log_probabilities(client: Any) -> None:
    answer = chat(client, n=3, logprobs=True, top_logprobs=2, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        assert len(choice.logprobs.content) == 4
        assert all(len(one.top_logprobs) == 2 for one in choice.logprobs.content)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
@pytest.mark.parametrize("parallel", [True, False])
def test_a_call_that_must_be_made_fits_its_tool(client: Any, choice: Any, parallel: bool) -> None:
    answer = chat(client, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel, max_tokens=400)
    calls = answer.choices[0].message.tool_calls
    assert len(calls) >= 1
    assert len(calls) == 1 or (parallel and choice == "required")
    for call in calls:
        assert call.function.name == "get_weather"
        assert set(json.loads(call.function.arguments)) == {"city", "now"}
    assert answer.choices[0].finish_reason == ("tool_calls" if choice == "required" else "stop")


def test_calls_side_by_side_are_streamed_apart(client: Any) -> None:
    calls = [("get_time", {}), ("get_weather", {"city": "Paris"})]
    texts = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
    two = "root ::= " + json.dumps("".join(f"<tool_call>{text}</tool_call>" for text in texts))
    tools = [WEATHER, TIME]
    with client.chat.completions.stream(
        model=TINY, messages=HELLO, tools=tools, max_tokens=400, extra_body={"grammar": two}
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion().choices[0]
    assert [(one.name, json.loads(one.arguments)) for one in done] == calls
    assert [one.index for one in done] == [0, 1]
    assert [call.function.name for call in final.message.tool_calls] == ["get_time", "get_weather"]
    assert len({call.id for call in final.message.tool_calls}) == 2
    assert final.finish_reason == "tool_calls"


def test_what_a_tool_gave_back_is_read(client: Any) -> None:
    asked = chat(client, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=400)
    message = asked.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "17 degrees"}
    answer = chat(client, messages=[*HELLO, message, result], tools=[WEATHER], max_tokens=8)
    assert answer.usage.prompt_tokens > asked.usage.prompt_tokens


def test_an_answer_is_parsed_into_a_pydantic_model(client: Any) -> None:
    parsed = client.chat.completions.parse(model=TINY, messages=HELLO, response_format=Verdict, max_tokens=200)
    assert isinstance(parsed.choices[0].message.parsed, Verdict)


def test_calls_are_parsed_into_pydantic_models(client: Any) -> None:
    tool = openai.pydantic_function_tool(Verdict, name="judge")
    parsed = client.chat.completions.parse(
        model=TINY, messages=HELLO, tools=[tool], tool_choice="required", parallel_tool_calls=False, max_tokens=200
    )
    (call,) = parsed.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Verdict)


def test_texts_and_token_ids_are_continued(client: Any) -> None:
    answer = client.completions.create(model=TINY, prompt=["Hello", "Hello world"], logprobs=2, max_tokens=5, seed=3)
    stream = client.completions.create(model=TINY, prompt=[[75, 104], [75]], max_tokens=5, stream=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(len(choice.logprobs.token_logprobs) == 5 for choice in answer.choices)
    assert {choice.index for chunk in stream for choice in chunk.choices} == {0, 1}


def test_vectors_are_the_same_as_numbers_and_as_base64(client: Any) -> None:
    numbers = client.embeddings.create(model=TINY, input=["Hello", "world"], encoding_format="float")
    packed = client.embeddings.create(model=TINY, input=["Hello", "world"])  # base64, which the package unpacks
    assert [one.embedding for one in packed.data] == [pytest.approx(one.embedding, rel=1e-6) for one in numbers.data]
    assert len(packed.data[0].embedding) == 64


def test_models_are_listed_and_found(client: Any) -> None:
    assert {model.id for model in client.models.list()} == {TINY, THINKER}
    assert client.models.retrieve(TINY).id == TINY


def test_what_is_refused_is_the_exception_that_the_package_has_for_it(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        chat(client, model="nothing")
    with pytest.raises(openai.BadRequestError) as too_long:
        chat(client, messages=[{"role": "user", "content": "a" * 9000}])
    with pytest.raises(openai.BadRequestError) as wrong:
        chat(client, temperature=-1)
    assert unknown.value.code == "unknown_model"
    assert too_long.value.code == "context_length_exceeded"
    assert wrong.value.param == "temperature"


def test_a_stream_that_is_closed_ends_its_execution(engine: HttpEngine, client: Any) -> None:
    with chat(client, stream=True, max_tokens=8000, extra_body={"ignore_eos": True}) as stream:
        execution_id = next(stream).id.removeprefix("chatcmpl-")
    with (
        httpx2.Client(base_url=engine.url, timeout=60) as watcher,
        watcher.stream("GET", "/v1/weos/events", params={"kinds": "ended", "after": 0}) as events,
    ):
        ended = next(line for line in events.iter_lines() if line.startswith("data:") and execution_id in line)
    assert json.loads(ended.removeprefix("data:"))["body"]["stop_reason"] == "cancelled"


def test_the_unix_socket_is_as_good(engine: HttpEngine) -> None:
    transport = httpx2.HTTPTransport(uds=str(engine.unix))
    with openai.OpenAI(
        base_url="http://engine/v1", api_key="none", http_client=httpx2.Client(transport=transport)
    ) as client:
        answer = chat(client, extra_body=SAYS_HELLO)
        parts = [chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True, extra_body=SAYS_HELLO)]
    assert answer.choices[0].message.content == "".join(parts) == "Hello, wörld."


def test_many_at_once_from_asyncio(engine: HttpEngine) -> None:
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=engine.v1, api_key="none") as client:
            answers = [
                client.chat.completions.create(model=TINY, messages=HELLO, max_tokens=16, seed=seed)
                for seed in (1, 1, 1, 2)
            ]
            stream = await client.chat.completions.create(
                model=TINY, messages=HELLO, max_tokens=16, seed=1, stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return [*(answer.choices[0].message.content for answer in await asyncio.gather(*answers)), text]

    one, same, again, other, streamed = asyncio.run(ask())
    assert one == same == again == streamed
    assert one != other
