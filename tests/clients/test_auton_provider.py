"""The provider of ``auton`` against the engine, by the real LiteLLM: a turn is a call that is valid for its tool."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auton.errors import ProviderError
from auton.intent import classify
from auton.provider import LiteLlmProvider, Question
from auton.settings import parse_settings
from auton.toolbox import descriptions
from tests.clients.http_engine import TINY, HttpEngine

pytest.importorskip("litellm", reason="make test-clients runs it")


@pytest.fixture(autouse=True)
def _a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")


def question(engine: HttpEngine, prefix: str, **more: Any) -> Question:
    return Question(
        role="reviewer",
        task="boot-001",
        attempt=1,
        turn=0,
        model=f"{prefix}/{TINY}",
        messages=({"role": "user", "content": "Approve it."},),
        tools=tuple(one for one in descriptions("reviewer") if one["function"]["name"] in {"list_files", "approve"}),
        max_tokens=200,
        temperature=0.0,
        api_base=engine.v1 if prefix == "openai" else engine.url,
        **more,
    )


@pytest.mark.parametrize("prefix", ["openai", "anthropic"])
def test_a_turn_is_a_call_that_is_valid_for_its_tool(engine: HttpEngine, prefix: str) -> None:
    reply = LiteLlmProvider().ask(question(engine, prefix))
    assert reply.calls
    assert {call.name for call in reply.calls} <= {"list_files", "approve"}
    assert [json.loads(call.arguments) for call in reply.calls] == [{}] * len(reply.calls)
    assert reply.usage.completion_tokens > 0


def test_a_prefix_without_a_choice_of_tools_is_asked_all_the_same(engine: HttpEngine) -> None:
    assert LiteLlmProvider().ask(question(engine, "ollama_chat")).usage.completion_tokens > 0


def test_a_model_that_is_not_here_is_one_error_with_its_name(engine: HttpEngine) -> None:
    asked = question(engine, "openai").model_copy(update={"model": "openai/nothing"})
    with pytest.raises(ProviderError, match="openai/nothing: NotFoundError"):
        LiteLlmProvider().ask(asked)


def test_an_intent_is_one_of_the_names(engine: HttpEngine) -> None:
    settings = parse_settings(
        f'[llm]\nmodel = "openai/{TINY}"\napi_base = "{engine.v1}"\n[slm]\nbackend = "neural_backend"\n'
        '[slm.intents]\nstatus = ["uptime"]\ndriver = ["device"]\n'
    )
    found = classify("What does it do?", settings, LiteLlmProvider())
    assert found.name in {"status", "driver"} or found.reason == f"openai/{TINY} knows none"
