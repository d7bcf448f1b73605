"""Ollama's own package against the engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.http_engine import THINKER, TINY, HttpEngine

ollama = pytest.importorskip("ollama", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
SHORT = {"num_predict": 16, "seed": 5, "temperature": 0.5}
HELD = {"enum": ["Hello, wörld."]}
"""A schema that has one answer."""


def get_weather(city: str) -> str:
    """How warm it is somewhere.

    Args:
        city: where
    """
    return f"17 degrees in {city}"


@pytest.fixture
def client(engine: HttpEngine) -> Iterator[Any]:
    with ollama.Client(host=engine.url) as client:
        yield client


def test_a_stream_of_a_chat_says_what_the_answer_in_one_piece_says(client: Any) -> None:
    whole = client.chat(model=TINY, messages=HELLO, options=SHORT)
    lines = list(client.chat(model=TINY, messages=HELLO, options=SHORT, stream=True))
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert [line.done for line in lines][-2:] == [False, True]
    assert lines[-1].eval_count == whole.eval_count > 0
    assert lines[-1].prompt_eval_count > 0
    assert lines[-1].total_duration > 0


def test_a_prompt_is_answered_in_a_form(client: Any) -> None:
    whole = client.generate(model=TINY, prompt="Hello", system="Be brief.", format=HELD, options={"num_predict": 99})
    lines = client.generate(model=TINY, prompt="Hello", format=HELD, stream=True)
    assert json.loads(whole.response) == "Hello, wörld."
    assert "".join(line.response for line in lines) == whole.response
    assert (whole.done, whole.done_reason) == (True, "stop")


def test_tools_are_told_of_and_their_results_read(client: Any) -> None:
    asked = client.chat(model=TINY, messages=HELLO, tools=[get_weather], options=SHORT)
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "get_weather", "content": get_weather("Paris")},
    ]
    answer = client.chat(model=TINY, messages=turns, tools=[get_weather], options=SHORT)
    assert answer.prompt_eval_count > asked.prompt_eval_count > 200


def test_log_probabilities_come_with_their_tokens(client: Any) -> None:
    whole = client.generate(model=TINY, prompt="Hello", options=SHORT, logprobs=True, top_logprobs=2)
    lines = client.chat(model=TINY, messages=HELLO, options=SHORT, logprobs=True, stream=True)
    assert len(whole.logprobs) == whole.eval_count
    assert all(len(one.top_logprobs) == 2 for one in whole.logprobs)
    assert sum(len(line.logprobs or ()) for line in lines) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_without_input_loads_the_model(client: Any, stream: bool) -> None:
    for answer in (
        client.generate(model=TINY, stream=stream),
        client.generate(model=TINY, prompt="", stream=stream, keep_alive="10m"),
        client.chat(model=TINY, stream=stream),
    ):
        last = list(answer)[-1] if stream else answer
        assert (last.done, last.done_reason) == (True, "load")
    assert TINY in {model.model for model in client.ps().models}


def test_models_are_listed_and_shown(client: Any) -> None:
    sizes = {model.model: model.size for model in client.list().models}
    shown = client.show(TINY)
    assert set(sizes) == {TINY, THINKER}
    assert min(sizes.values()) > 0
    assert (shown.details.family, shown.details.format) == ("llama", "gguf")
    assert shown.modelinfo["llama.context_length"] == 8192
    assert set(shown.capabilities) >= {"completion", "tools"}


def test_vectors_of_texts(client: Any) -> None:
    answer = client.embed(model=TINY, input=["Hello", "world"])
    assert [len(one) for one in answer.embeddings] == [64, 64]
    assert client.embeddings(model=TINY, prompt="Hello").embedding == pytest.approx(answer.embeddings[0])


def test_what_is_refused_is_the_packages_error(client: Any) -> None:
    with pytest.raises(ollama.ResponseError) as unknown:
        client.chat(model="nothing", messages=HELLO)
    with pytest.raises(ollama.ResponseError) as in_a_stream:
        list(client.generate(model="nothing", prompt="Hello", stream=True))
    assert (unknown.value.status_code, in_a_stream.value.status_code) == (404, 404)


def test_a_stream_is_read_from_asyncio(engine: HttpEngine) -> None:
    async def read() -> str:
        async with ollama.AsyncClient(host=engine.url) as client:
            lines = await client.chat(model=TINY, messages=HELLO, format=HELD, stream=True)
            return "".join([line.message.content async for line in lines])

    assert json.loads(asyncio.run(read())) == "Hello, wörld."
