"""The command ``llm`` with the engine as one of its models, as its ``extra-openai-models.yaml`` names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.http_engine import TINY, HttpEngine

pytest.importorskip("llm", reason="make test-clients runs it")


@pytest.fixture
def environment(engine: HttpEngine, tmp_path: Path) -> dict[str, str]:
    """Where the command finds the engine, and keeps its notes."""
    model = {
        "model_id": TINY,
        "model_name": TINY,
        "api_base": engine.v1,
        "supports_schema": True,
        "supports_tools": True,
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]))  # JSON is YAML
    return {**os.environ, "LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}


def llm(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "llm", "-m", TINY, "-o", "max_tokens", "200", *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_prompt_is_answered_the_same_in_a_stream(environment: dict[str, str]) -> None:
    assert llm(environment, "Hello") == llm(environment, "--no-stream", "Hello") != ""


def test_an_answer_is_held_to_a_schema(environment: dict[str, str]) -> None:
    schema = {
        "type": "object",
        "properties": {"sure": {"type": "boolean"}},
        "required": ["sure"],
        "additionalProperties": False,
    }
    assert isinstance(json.loads(llm(environment, "--schema", json.dumps(schema), "Hello"))["sure"], bool)
