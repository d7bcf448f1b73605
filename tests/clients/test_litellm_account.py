"""LiteLLM against the engine: what an answer took and cost, JSON mode, and the classes of errors that agents act on."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.clients.http_engine import TINY, HttpEngine

litellm = pytest.importorskip("litellm", reason="make test-clients runs it")

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
PREFIXES = ["openai", "ollama", "ollama_chat", "anthropic"]
FREE = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
"""LiteLLM has prices of Ollama's models; of all others that it does not know it must be told."""


def asked(engine: HttpEngine, prefix: str, **more: Any) -> dict[str, Any]:
    address = engine.v1 if prefix == "openai" else engine.url
    common = {"model": f"{prefix}/{TINY}", "api_base": address, "api_key": "none", "messages": HELLO, "max_tokens": 8}
    return {**common, **more}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_answer_says_its_tokens_and_costs_nothing(engine: HttpEngine, prefix: str) -> None:
    answer = litellm.completion(**asked(engine, prefix, **FREE))
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens <= 8
    assert answer._hidden_params["response_cost"] == 0.0


def test_joules_are_in_the_usage_or_null_with_the_reason(engine: HttpEngine) -> None:
    energy = litellm.completion(**asked(engine, "openai")).model_dump()["usage"]["energy"]
    assert (energy["joules"] is None) == bool(energy["reason"])


@pytest.mark.parametrize("prefix", ["openai", "anthropic"])
def test_a_streams_last_chunk_says_its_tokens(engine: HttpEngine, prefix: str) -> None:
    whole = litellm.completion(**asked(engine, prefix))
    chunks = list(litellm.completion(**asked(engine, prefix), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("prefix", ["openai", "ollama", "ollama_chat"])
def test_json_mode_gives_json(engine: HttpEngine, prefix: str) -> None:
    answer = litellm.completion(
        **asked(engine, prefix, max_tokens=200, temperature=0.9), response_format={"type": "json_object"}
    )
    text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
    # A model of random weights may never close what it opened.
    assert text.lstrip().startswith("{")
    assert finish == "length" or isinstance(json.loads(text), dict)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_stream_is_read_by_asyncio(engine: HttpEngine, prefix: str) -> None:
    async def read() -> str:
        stream = await litellm.acompletion(**asked(engine, prefix), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(read()) == litellm.completion(**asked(engine, prefix)).choices[0].message.content


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_engine_that_is_not_there_is_a_failed_connection(prefix: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    absent = HttpEngine(f"http://127.0.0.1:{port}", unix=None, process=None)  # type: ignore[arg-type]
    with pytest.raises((litellm.APIConnectionError, litellm.InternalServerError)):
        litellm.completion(**asked(absent, prefix), num_retries=0)


def test_a_field_that_cannot_be_is_a_bad_request_with_its_name(engine: HttpEngine) -> None:
    with pytest.raises(litellm.BadRequestError, match="top_p"):
        litellm.completion(**asked(engine, "openai", top_p=7))
