"""LiteLLM's proxy in front of the engine: what one configuration of it gives to clients of OpenAI's and Anthropic's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.http_engine import TINY, HttpEngine

pytest.importorskip("litellm", reason="make test-clients runs it")
anthropic = pytest.importorskip("anthropic", reason="make test-clients runs it")
openai = pytest.importorskip("openai", reason="make test-clients runs it")

KEY = "sk-of-this-test-alone-and-long-enough"
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def proxy(engine: HttpEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The proxy's address."""
    folder = tmp_path_factory.mktemp("proxy")
    models = [
        {"model_name": "engine", "litellm_params": {"model": f"openai/{TINY}", "api_base": engine.v1, "api_key": "x"}},
        {"model_name": "by-ollama", "litellm_params": {"model": f"ollama_chat/{TINY}", "api_base": engine.url}},
    ]
    config = folder / "config.yaml"
    config.write_text(json.dumps({"model_list": models}))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("litellm")
    arguments = [str(command), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "LITELLM_MASTER_KEY": KEY}  # it does not start without one
    log = folder / "log"
    with (
        log.open("w") as told,
        subprocess.Popen(  # noqa: S603  the package's own command
            arguments, stdout=told, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment
        ) as process,
    ):
        try:
            assert process.stderr is not None
            begun = any("Uvicorn running" in line for line in process.stderr)
            assert begun, log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.mark.parametrize("model", ["engine", "by-ollama"])
def test_a_chat_and_its_stream_come_through(proxy: str, model: str) -> None:
    with openai.OpenAI(base_url=f"{proxy}/v1", api_key=KEY, max_retries=0) as client:
        asked = {"model": model, "messages": HELLO, "max_tokens": 12, "temperature": 0.5}
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content


def test_anthropics_client_comes_through(proxy: str) -> None:
    with anthropic.Anthropic(base_url=proxy, api_key=KEY, max_retries=0) as client:
        whole = client.messages.create(model="engine", messages=HELLO, max_tokens=12)
        with client.messages.stream(model="engine", messages=HELLO, max_tokens=12) as stream:
            streamed = stream.get_final_message()
    assert [block.text for block in streamed.content] == [block.text for block in whole.content]


def test_a_response_comes_through(proxy: str) -> None:
    with openai.OpenAI(base_url=f"{proxy}/v1", api_key=KEY, max_retries=0) as client:
        answer = client.responses.create(model="engine", input="Hello", max_output_tokens=12)
    assert answer.output[0].type == "message"
