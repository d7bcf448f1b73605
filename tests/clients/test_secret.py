"""Clients of an engine that asks for a secret: each sends its key in its own way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.http_engine import HttpEngine, serving_http

anthropic = pytest.importorskip("anthropic", reason="make test-clients runs it")
litellm = pytest.importorskip("litellm", reason="make test-clients runs it")
ollama = pytest.importorskip("ollama", reason="make test-clients runs it")
openai = pytest.importorskip("openai", reason="make test-clients runs it")

SECRET = "a secret of many bytes"  # noqa: S105  of this test alone
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
NOTHING = "nothing"
"""A model that is not here: who hears so has come in."""


@pytest.fixture(scope="module")
def guarded(own_records: None) -> Iterator[HttpEngine]:
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        secret = folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        environment = {**os.environ, "ENGINE_MODELS_DIR": str(folder), "ENGINE_CACHE_DIR": str(folder / "cache")}
        with serving_http(folder, "--http-token-file", str(secret), env=environment) as engine:
            yield engine


def test_openais_key_is_a_bearer(guarded: HttpEngine) -> None:
    with openai.OpenAI(base_url=guarded.v1, api_key=SECRET, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=NOTHING, messages=HELLO)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").chat.completions.create(model=NOTHING, messages=HELLO)


def test_anthropics_key_has_a_header_of_its_own(guarded: HttpEngine) -> None:
    with anthropic.Anthropic(base_url=guarded.url, api_key=SECRET, max_retries=0) as client:
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(model=NOTHING, messages=HELLO, max_tokens=4)
        with pytest.raises(anthropic.AuthenticationError):
            client.with_options(api_key="wrong").messages.create(model=NOTHING, messages=HELLO, max_tokens=4)


@pytest.mark.parametrize(("secret", "status"), [(SECRET, 404), ("wrong", 401)])
def test_ollamas_client_takes_headers(guarded: HttpEngine, secret: str, status: int) -> None:
    client = ollama.Client(host=guarded.url, headers={"Authorization": f"Bearer {secret}"})
    with client, pytest.raises(ollama.ResponseError) as refused:
        client.chat(model=NOTHING, messages=HELLO)
    assert refused.value.status_code == status


def test_litellm_has_a_class_of_errors_for_each(guarded: HttpEngine) -> None:
    asked = {"model": f"openai/{NOTHING}", "api_base": guarded.v1, "messages": HELLO}
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**asked, api_key=SECRET)
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**asked, api_key="wrong")
