"""LangChain's package for OpenAI's API against the engine."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from tests.clients.http_engine import TINY, HttpEngine

langchain_openai = pytest.importorskip("langchain_openai", reason="make test-clients runs it")


class Weather(BaseModel):
    """How warm it is somewhere."""

    model_config = ConfigDict(extra="forbid")
    city: Literal["Paris", "Lisboa"]


@pytest.fixture
def model(engine: HttpEngine) -> Any:
    return langchain_openai.ChatOpenAI(
        base_url=engine.v1, api_key="none", model=TINY, max_tokens=200, max_retries=0, stream_usage=True
    )


def test_a_stream_adds_up_to_the_answer_in_one_piece(model: Any) -> None:
    brief = model.bind(max_tokens=12)
    whole = brief.invoke("Hello")
    chunks = list(brief.stream("Hello"))
    assert "".join(chunk.content for chunk in chunks) == whole.content
    assert whole.usage_metadata["output_tokens"] > 0
    assert sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks) > 0


def test_tools_are_bound_called_and_answered(model: Any) -> None:
    bound = model.bind_tools([Weather], tool_choice="any", parallel_tool_calls=False)
    asked = bound.invoke("Hello")
    (call,) = asked.tool_calls
    assert call["name"] == "Weather"
    assert call["args"]["city"] in {"Paris", "Lisboa"}
    result = {"role": "tool", "tool_call_id": call["id"], "content": "17 degrees"}
    answer = model.bind(max_tokens=4).invoke([("user", "Hello"), asked, result])
    assert answer.usage_metadata["input_tokens"] > 0


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_answer_has_a_structure(model: Any, method: str) -> None:
    assert isinstance(model.with_structured_output(Weather, method=method).invoke("Hello"), Weather)


def test_responses_are_used_where_they_are_asked_for(engine: HttpEngine) -> None:
    model = langchain_openai.ChatOpenAI(
        base_url=engine.v1, api_key="none", model=TINY, max_tokens=12, use_responses_api=True
    )
    whole = model.invoke("Hello")
    streamed = "".join(chunk.text for chunk in model.stream("Hello"))
    assert streamed == whole.text


def test_vectors_of_texts(engine: HttpEngine) -> None:
    # The package cuts texts into ids of OpenAI's own vocabulary unless it is told not to.
    embeddings = langchain_openai.OpenAIEmbeddings(
        base_url=engine.v1, api_key="none", model=TINY, check_embedding_ctx_length=False
    )
    assert [len(one) for one in embeddings.embed_documents(["Hello", "world"])] == [64, 64]


def test_many_at_once_from_asyncio(model: Any) -> None:
    async def ask() -> list[str]:
        return [answer.content for answer in await model.bind(max_tokens=8).abatch(["Hello"] * 4)]

    assert len(set(asyncio.run(ask()))) == 1
