"""What clients of ``/v1/completions`` may rely on: log probabilities do not depend on who else is answered."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

WORDS = ["the", "cat", "sat", "in", "a", "hat", "and", "said", "hello", "to", "you"]
PROMPTS = [" ".join(WORDS[at % 11 :] * (1 + at % 5)) for at in range(32)]
SAMPLED = {"temperature": 0.6, "seed": 42, "max_tokens": 192, "logprobs": 5, "ignore_eos": True}
LONG = [65 + at % 50 for at in range(1500)]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of an engine whose model has some weight: steps of a lighter one end before they could be shared."""
    options = {"n_layer": 4, "n_embd": 256, "n_head": 8, "n_head_kv": 4, "n_ff": 512, "context_length": 2048}
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        model = write_tiny_model(folder / "tiny.gguf", tensor_type="Q4_K", **options)
        flags = ("--http-default-model", str(model))
        with serving(folder / "engine.sock", *flags, env={**os.environ, "ENGINE_CACHE_DIR": name}):
            transport = httpx.HTTPTransport(uds=str(folder / "engine-http.sock"))
            with httpx.Client(base_url="http://engine", transport=transport, timeout=120) as client:
                yield client


def completed(client: httpx.Client, prompt: Any, execution: dict[str, Any], **fields: Any) -> list[Any]:
    """The choices for a prompt or several."""
    answer = client.post("/v1/completions", json={**SAMPLED, "prompt": prompt, "execution": execution, **fields})
    assert answer.status_code == 200, answer.text
    choices: list[Any] = answer.json()["choices"]
    return choices


def counted(client: httpx.Client) -> tuple[float, float]:
    """Steps so far, and rows of decode in them."""
    values = {
        (sample.name, sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    return values["engine_steps_total", None], values["engine_step_rows_total", "decode"]


def test_thirty_two_prompts_at_once_are_answered_as_each_alone(client: httpx.Client) -> None:
    alone = [completed(client, prompt, {})[0] for prompt in PROMPTS]
    steps, rows = counted(client)
    together = completed(client, PROMPTS, {"max_sequences": 32})
    steps_now, rows_now = counted(client)
    assert [one["logprobs"] for one in together] == [one["logprobs"] for one in alone]
    assert [one["text"] for one in together] == [one["text"] for one in alone]
    assert rows_now - rows > 2 * (steps_now - steps), "steps were not shared"


def test_a_long_prompt_in_pieces_beside_another_answer_is_answered_as_alone(client: httpx.Client) -> None:
    asked = {"temperature": 0, "max_tokens": 8}
    (alone,) = completed(client, LONG, {"prefill_chunk": 2048}, **asked)
    begun, enough = threading.Event(), threading.Event()

    def decode_beside() -> None:
        endless = {**SAMPLED, "prompt": "a", "max_tokens": 1900, "stream": True, "logprobs": None}
        with client.stream("POST", "/v1/completions", json=endless) as stream:
            for line in stream.iter_lines():
                if line:
                    begun.set()
                if enough.is_set():
                    break

    beside = threading.Thread(target=decode_beside)
    beside.start()
    try:
        assert begun.wait(60)
        steps, _ = counted(client)
        (mixed,) = completed(client, LONG, {"prefill_chunk": 32}, **asked)
        steps_now, _ = counted(client)
    finally:
        enough.set()
        beside.join(60)
    assert mixed["logprobs"] == alone["logprobs"]
    assert steps_now - steps >= 1500 // 32
