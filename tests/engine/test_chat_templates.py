"""Templates of real models, rendered as Jinja2 itself renders them, or refused for what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from jinja2 import TemplateError, UndefinedError

from engine import _core
from protocol.chat import ChatMessage, JsonObject
from protocol.errors import InvalidTemplate
from tests.engine.chat_reference import WEATHER, WEATHER_TALK, reference_rendering, rendering
from tests.support.outside_data import llama_cpp_models, outside_data
from tests.support.real_models import hand_fetched

PLAIN = (
    ChatMessage(role="user", content="Olá!"),
    ChatMessage(role="assistant", content=" Hello  "),
    ChatMessage(role="user", content="\nWhat is <b>1 < 2</b>?\n"),
)
CONVERSATIONS: dict[str, tuple[tuple[ChatMessage, ...], tuple[JsonObject, ...] | None]] = {
    "question": (PLAIN[:1], None),
    "turns": (PLAIN, None),
    "system": ((ChatMessage(role="system", content="Be brief."), *PLAIN), None),
    "tools": (PLAIN[:1], WEATHER),
    "tool calls": (WEATHER_TALK, WEATHER),
}

DAY = date(2026, 1, 31)

NO_TOOLS = frozenset({"question", "turns", "system"})
NO_SYSTEM = frozenset({"question", "turns"})
ALL = frozenset(CONVERSATIONS)
FAMILIES = {
    "meta-llama-Llama-3.1-8B-Instruct": ALL,
    "meta-llama-Llama-3.2-3B-Instruct": ALL,
    "meta-llama-Llama-3.3-70B-Instruct": ALL,
    "Qwen-Qwen2.5-7B-Instruct": ALL,
    "Qwen-Qwen3-0.6B": ALL,
    "Qwen3.5-4B": ALL,
    "google-gemma-2-2b-it": NO_SYSTEM,
    "microsoft-Phi-3.5-mini-instruct": NO_TOOLS,
    "mistralai-Mistral-Nemo-Instruct-2407": ALL,
    "mistralai-Ministral-3-14B-Reasoning-2512": ALL,
    "HuggingFaceTB-SmolLM3-3B": NO_TOOLS,
    "ibm-granite-granite-3.3-2B-Instruct": ALL - {"tool calls"},
    "ibm-granite-granite-4.0": ALL,
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": NO_TOOLS,
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": NO_TOOLS,
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": ALL - NO_TOOLS,
    "openai-gpt-oss-120b": ALL,
}
"""The conversations that each renders. It refuses the others itself, or would leave their tools out."""


def expected_rendering(template: str, messages: tuple[ChatMessage, ...], tools: tuple[JsonObject, ...] | None) -> str:
    """Jinja2's; where it fails for want of a message's content, with an empty one."""
    try:
        return reference_rendering(template, messages, "<s>", "</s>", tools, DAY)
    except UndefinedError:
        filled = [each.model_copy(update={"content": each.text}) for each in messages]
        return reference_rendering(template, filled, "<s>", "</s>", tools, DAY)


def conversations_rendered_alike(template: str) -> frozenset[str]:
    """Those that are rendered; the others are refused by Jinja2 as well, or would lose their tools."""
    rendered = set()
    for name, (messages, tools) in CONVERSATIONS.items():
        try:
            expected = expected_rendering(template, messages, tools)
        except (TemplateError, TypeError):
            expected = None
        try:
            found = rendering(template, messages, "<s>", "</s>", tools, DAY)
        except InvalidTemplate as refusal:
            if expected is not None and "no place for" not in refusal.message:
                raise
            continue
        assert found == expected, name
        rendered.add(name)
    return frozenset(rendered)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_template_renders_as_jinja2_renders_it(family: str) -> None:
    path = llama_cpp_models() / "templates" / f"{family}.jinja"
    assert conversations_rendered_alike(path.read_text(encoding="utf-8")) == FAMILIES[family]


def files() -> Iterator[Path]:
    yield from sorted(outside_data("vocab").glob("*.gguf"))
    yield hand_fetched("SmolLM2-135M-Instruct.Q4_1.gguf")
    yield hand_fetched("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")


def test_templates_in_model_files_render_as_jinja2_renders_them() -> None:
    templates = [template for path in files() if (template := _core.GgufFile(str(path)).get("tokenizer.chat_template"))]
    assert len(templates) >= 2
    for template in templates:
        assert "question" in conversations_rendered_alike(template)


MORE: dict[str, tuple[ChatMessage, ...]] = {
    "thinking": (PLAIN[0], ChatMessage(role="assistant", content="Hello", reasoning_content="They greet."), PLAIN[2]),
    "developer": (ChatMessage(role="developer", content="Be brief."), PLAIN[0]),
}


@pytest.mark.slow
def test_every_template_that_comes_with_llama_cpp_renders_as_jinja2_renders_it() -> None:
    """Some seventy; what Jinja2 renders and the engine does not would leave tools out."""
    conversations = {**CONVERSATIONS, **{name: (messages, None) for name, messages in MORE.items()}}
    outcomes: Counter[str] = Counter()
    for path in sorted((llama_cpp_models() / "templates").glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        for name, (messages, tools) in conversations.items():
            try:
                expected = expected_rendering(template, messages, tools)
            except (TemplateError, TypeError):
                expected = None
            try:
                found = rendering(template, messages, "<s>", "</s>", tools, DAY)
            except InvalidTemplate as refusal:
                if expected is not None and "no place for" not in refusal.message:
                    raise
                outcomes["refused"] += 1
                continue
            # a template that fails on arguments as an object is given their JSON
            assert found == expected or (expected is None and name == "tool calls"), (path.name, name)
            outcomes["equal"] += found == expected
    assert outcomes["equal"] > 5 * outcomes["refused"]
